"""Tables and a picture of what was synced, by SQL that DuckDB and PostgreSQL both understand."""

from collections import defaultdict
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import cycle
from pathlib import Path
from typing import Any

import sqlalchemy
from matplotlib.axes import Axes
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter, date2num
from matplotlib.figure import Figure
from matplotlib.font_manager import findfont, get_font
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import MaxNLocator
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from sqlalchemy.engine import Engine, Row

_DAYS = """
SELECT CAST(COALESCE(modificationdate, creationdate) AT TIME ZONE 'UTC' AS DATE) AS day,
       UPPER(COALESCE(currency, '?')) AS currency,
       COUNT(*) AS carts,
       CAST(COALESCE(SUM(total), 0) AS DOUBLE PRECISION) AS value
FROM abandoned_carts
WHERE COALESCE(modificationdate, creationdate) IS NOT NULL
GROUP BY 1, 2
ORDER BY 1, 2
"""
_UNDATED = """
SELECT COUNT(*) AS carts FROM abandoned_carts WHERE COALESCE(modificationdate, creationdate) IS NULL
"""
_PRODUCTS = """
SELECT COALESCE(line->>'name', line->>'id', '?') AS product, COUNT(DISTINCT token) AS carts
FROM (SELECT token, {lines} AS line FROM abandoned_carts) AS lines
GROUP BY 1
ORDER BY 2 DESC, 1
LIMIT 8
"""
_LINES = {"duckdb": "UNNEST(CAST(items AS JSON[]))", "postgresql": "JSONB_ARRAY_ELEMENTS(items)"}
_WINDOWS = """
SELECT CAST(date_from AT TIME ZONE 'UTC' AS DATE) AS first_day,
       CAST(date_to AT TIME ZONE 'UTC' AS DATE) AS last_day,
       abandoned,
       recovered,
       CAST(100.0 * recovered / NULLIF(abandoned, 0) AS DOUBLE PRECISION) AS rate
FROM cart_stats
ORDER BY date_from
"""

_COLORS = ("#2f6f8f", "#e08e45", "#7a9e59", "#a05195", "#8c8c8c")
_LOST, _WON = "#b9c4cc", "#2f8f6b"


@dataclass(frozen=True)
class Report:
    """The rows of the queries, none where a stream has no table; `undated` carts have no day."""

    days: list[Row[Any]]
    undated: int
    products: list[Row[Any]]
    windows: list[Row[Any]]


def query(engine: Engine) -> Report:
    """Ask a database that a sync has written."""
    tables = sqlalchemy.inspect(engine).get_table_names()
    lines = _LINES[engine.dialect.name]
    with engine.connect() as connection:

        def rows(table: str, statement: str) -> list[Row[Any]]:
            known = table in tables
            return list(connection.execute(sqlalchemy.text(statement))) if known else []

        return Report(
            rows("abandoned_carts", _DAYS),
            sum(row.carts for row in rows("abandoned_carts", _UNDATED)),
            rows("abandoned_carts", _PRODUCTS.format(lines=lines)),
            rows("cart_stats", _WINDOWS),
        )


def show(report: Report, console: Console) -> None:
    """Print the latest of each."""
    by_day: dict[date, list[Row[Any]]] = defaultdict(list)
    for row in report.days:
        by_day[row.day].append(row)
    days = [
        (
            str(day),
            sum(row.carts for row in rows),
            " + ".join(f"{r.value:,.2f} {_one_line(r.currency)}" for r in rows),
        )
        for day, rows in list(by_day.items())[-7:]
    ]
    _table(
        console, "Abandoned carts by day of their last change, UTC", ("day", "carts", "value"), days
    )
    if report.undated:
        console.print(f"and {report.undated:,} carts without a date")
    products = [(_one_line(row.product), row.carts) for row in report.products]
    _table(console, "Products most often left behind", ("product", "carts"), products)
    windows = [
        (
            f"{row.first_day} to {row.last_day}",
            row.abandoned,
            row.recovered,
            "" if row.rate is None else f"{row.rate:.1f} %",
        )
        for row in report.windows[-7:]
    ]
    titles = ("window", "abandoned", "recovered", "recovery rate")
    _table(console, "Abandoned against recovered", titles, windows)


def draw(report: Report, path: Path) -> None:
    """Write the picture, a PNG: the last 90 days and 13 windows."""
    layout = ConstrainedLayoutEngine(h_pad=0.15, w_pad=0.15)
    figure = Figure(figsize=(14, 9), layout=layout, facecolor="white")
    figure.suptitle("Abandoned carts", fontsize=20, fontweight="bold", x=0.02, ha="left")
    axes = figure.subplots(2, 2)
    days = [row for row in report.days if row.day > report.days[-1].day - timedelta(days=90)]
    _draw_carts(axes[0][0], days)
    _draw_values(axes[0][1], days)
    _draw_products(axes[1][0], report.products)
    _draw_windows(axes[1][1], report.windows[-13:])
    figure.savefig(path, dpi=110)


def _frame(axis: Axes, title: str, *, empty: bool, legend: int = 0) -> None:
    """What all four have in common; `legend` is the number of its entries."""
    axis.set_title(title, loc="left", fontsize=13, fontweight="bold")
    axis.spines[["top", "right"]].set_visible(False)
    axis.set_axisbelow(True)
    if empty:
        axis.text(0, 0.95, "no data", va="top", color="#8c8c8c", transform=axis.transAxes)
        axis.set_axis_off()
    elif legend:
        axis.margins(y=0.2)
        for text in axis.legend(frameon=False, ncols=legend, loc="upper left").get_texts():
            text.set_parse_math(False)


def _draw_carts(axis: Axes, rows: list[Row[Any]]) -> None:
    below: dict[date, int] = defaultdict(int)
    by_currency = _by_currency(rows)
    for color, (currency, own) in zip(cycle(_COLORS), by_currency.items(), strict=False):
        bottom = [below[row.day] for row in own]
        axis.bar(
            [row.day for row in own],
            [row.carts for row in own],
            0.9,
            bottom,
            color=color,
            label=currency,
        )
        for row in own:
            below[row.day] += row.carts
    axis.yaxis.set_major_locator(MaxNLocator(6, integer=True))
    _draw_dates(axis)
    _frame(axis, "Carts by day of their last change", empty=not rows, legend=len(by_currency))


def _draw_values(axis: Axes, rows: list[Row[Any]]) -> None:
    """Bars side by side: values in different currencies do not add up."""
    by_currency = _by_currency(rows)
    width = 0.9 / max(len(by_currency), 1)
    for index, (currency, own) in enumerate(by_currency.items()):
        places = [date2num(row.day) + (index + 0.5) * width - 0.45 for row in own]
        values = [row.value for row in own]
        axis.bar(places, values, width, color=_COLORS[index % len(_COLORS)], label=currency)
    axis.yaxis.set_major_locator(MaxNLocator(6))
    _draw_dates(axis)
    _frame(axis, "Their value", empty=not rows, legend=len(by_currency))


def _draw_dates(axis: Axes) -> None:
    axis.grid(axis="y", color="#e6e6e6")
    locator = AutoDateLocator(minticks=3, maxticks=7)
    axis.xaxis.set_major_locator(locator)
    axis.xaxis.set_major_formatter(ConciseDateFormatter(locator))


def _by_currency(rows: list[Row[Any]]) -> dict[str, list[Row[Any]]]:
    found: dict[str, list[Row[Any]]] = defaultdict(list)
    for row in sorted(rows, key=lambda row: row.currency):
        found[_drawable(row.currency)].append(row)
    return found


def _draw_products(axis: Axes, rows: list[Row[Any]]) -> None:
    places = range(len(rows))
    bars = axis.barh(places, [row.carts for row in rows], color=_COLORS[0])
    axis.bar_label(bars, padding=4)
    axis.set_yticks(places, [_drawable(row.product) for row in rows], parse_math=False)
    axis.invert_yaxis()
    axis.set_xlabel("carts")
    axis.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    _frame(axis, "Products most often left behind", empty=not rows)


def _draw_windows(axis: Axes, rows: list[Row[Any]]) -> None:
    places = range(len(rows))
    axis.bar(places, [row.abandoned for row in rows], color=_LOST, label="abandoned")
    axis.bar(places, [row.recovered for row in rows], 0.5, color=_WON, label="recovered")
    for place, row in zip(places, rows, strict=True):
        if row.rate is not None:
            top = (place, max(row.abandoned, row.recovered))
            axis.annotate(f"{row.rate:.0f}%", top, (0, 3), textcoords="offset points", ha="center")
    axis.set_xticks(places, [str(row.first_day) for row in rows], rotation=45, ha="right")
    axis.set_xlabel("first day of the window")
    _frame(axis, "Abandoned against recovered", empty=not rows, legend=2)


def _table(
    console: Console, title: str, columns: tuple[str, ...], rows: list[tuple[Any, ...]]
) -> None:
    if not rows:
        return
    table = Table(box=None, pad_edge=False)
    for column in columns:
        numbers = column in ("carts", "abandoned", "recovered", "recovery rate", "value")
        table.add_column(column, justify="right" if numbers else "left")
    for row in rows:
        table.add_row(*(escape(str(cell)) for cell in row))
    console.print(f"\n{title}", style="bold")
    console.print(table)


def _one_line(text: str) -> str:
    """Names come from the shop: no control characters, and no more than a column holds."""
    plain = "".join(each if each.isprintable() else " " for each in text).strip()
    return f"{plain[:39]}…" if len(plain) > 40 else plain


def _drawable(text: str) -> str:
    """A name with the characters that the picture's font has."""
    known = get_font(findfont("DejaVu Sans")).get_charmap()
    return "".join(each for each in _one_line(text) if ord(each) in known).strip() or "?"
