"""Prints tables of the synced data, and draws a picture of them. docs/queries has the SQL."""

from collections.abc import Callable, Collection
from datetime import datetime
from pathlib import Path
from typing import Any

from .picture import Picture

Rows = list[tuple[Any, ...]]

_QUERIES = Path(__file__).parent.parent / "docs/queries"
_LINES = 8  # of a printed table
_WIDTH = 40  # of a printed cell


def report(
    query: Callable[[str], Rows],
    streams: Collection[str],
    kind: str,
    path: Path,
    *,
    read_at: datetime,
    note: str = "",
) -> None:
    """Print tables from a database of this kind, and draw them into a PNG file.

    `read_at` is the time of the sync in UTC. `note` is written under the picture.
    """

    def run(name: str) -> Rows:
        return query((_QUERIES / f"{name}.sql").read_text(encoding="utf-8"))

    picture = Picture(read_at)
    if "abandoned_carts" in streams:
        weeks = run("carts_by_week")
        _print("Carts by week of their last change", "week currency carts value", weeks)
        picture.draw_weeks(weeks)
        if "departed_carts" in streams:
            outcomes = run("outcomes")
            _print("What became of the carts", "outcome currency carts value", outcomes)
            picture.draw_outcomes(outcomes)
        else:
            picture.draw_values(weeks)
        products = run(f"products.{kind}")
        _print("Products in the carts", "id product currency carts value", products, first=True)
        picture.draw_products(products)
    if "cart_stats" in streams:
        windows = run("recovered_by_window")
        _print("Carts by window", "first_day last_day abandoned recovered percent", windows)
        picture.draw_windows(windows)
    services = {"abandoned_carts": "Snipcart", "cart_stats": "Retargeting"}
    sources = " and ".join(name for stream, name in services.items() if stream in streams)
    picture.save(path, sources, note)


def _print(title: str, columns: str, rows: Rows, *, first: bool = False) -> None:
    """Print the last rows of a table, or the first ones. A line says how many there are."""
    if not rows:
        return
    shown = rows[:_LINES] if first else rows[-_LINES:]
    table = [columns.split(), *([_cell(value) for value in row] for row in shown)]
    widths = [max(map(len, cells)) for cells in zip(*table, strict=True)]
    print(f"\n{title}")
    for cells in table:
        print("  ".join(cell.rjust(width) for cell, width in zip(cells, widths, strict=True)))
    if len(shown) < len(rows):
        print(f"({'first' if first else 'last'} {len(shown)} of {len(rows):,} rows)")


def _cell(value: object) -> str:
    """Return a value as text on one line."""
    text = "" if value is None else str(value)
    plain = "".join(each if each.isprintable() else " " for each in text).strip()
    return f"{plain[: _WIDTH - 1]}…" if len(plain) > _WIDTH else plain
