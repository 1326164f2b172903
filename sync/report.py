"""Tables and a picture of the synced data. The SQL works in DuckDB and PostgreSQL."""

import warnings
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

WEEKS = """
SELECT CAST(DATE_TRUNC('week', modification_date AT TIME ZONE 'UTC') AS DATE),
       UPPER(COALESCE(currency, '?')), COUNT(*), COALESCE(SUM(total), 0)
FROM abandoned_carts WHERE modification_date IS NOT NULL GROUP BY 1, 2 ORDER BY 1, 2
"""
OUTCOMES = """
SELECT CASE WHEN departed.token IS NULL THEN 'still abandoned' WHEN departed.cart IS NULL
       THEN 'gone' ELSE 'finished' END, UPPER(COALESCE(currency, '?')), COUNT(*), SUM(total)
FROM abandoned_carts AS cart LEFT JOIN departed_carts AS departed ON departed.token = cart.token
     AND departed.noticed_at >= COALESCE(cart.modification_date, departed.noticed_at)
GROUP BY 1, 2 ORDER BY 1 DESC, 2
"""
PRODUCTS = """
SELECT COALESCE(line->>'name', line->>'id', '?') AS product, COUNT(DISTINCT token)
FROM (SELECT token, {lines} AS line FROM abandoned_carts) AS lines
GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT 8
"""
LINES = {"duckdb": "UNNEST(CAST(items AS JSON[]))", "postgresql": "JSONB_ARRAY_ELEMENTS(items)"}
WINDOWS = """
SELECT CAST(date_from AT TIME ZONE 'UTC' AS DATE), CAST(date_to AT TIME ZONE 'UTC' AS DATE),
       abandoned, recovered
FROM cart_stats ORDER BY date_from
"""


def report(
    query: Callable[[str], list[tuple[Any, ...]]],
    streams: Collection[str],
    kind: str,
    picture: Path,
) -> None:
    """Print tables from a database of this kind, and draw them into a PNG file."""
    figure = Figure(figsize=(14, 9), layout="constrained")
    figure.suptitle("Abandoned carts", fontsize=20, fontweight="bold")
    ((carts, value), (products, windows)) = figure.subplots(2, 2)
    if "abandoned_carts" in streams:
        frame = _print("Carts by week", query(WEEKS), "week currency carts value")
        if not frame.empty:
            by_week = frame.pivot_table(["carts", "value"], "week", "currency", "sum").tail(13)
            by_week["carts"].plot.bar(ax=carts, title="Carts by week of their last change")
            if "departed_carts" in streams:
                frame = _print("Their value", query(OUTCOMES), "outcome currency carts value")
                by_week = frame.pivot_table(["value"], "outcome", "currency", "sum")
            by_week["value"].plot.bar(ax=value, title="Their value")
        rows = query(PRODUCTS.format(lines=LINES[kind]))
        frame = _print("Products most often left behind", rows, "product carts")
        if not frame.empty:
            frame[::-1].plot.barh("product", ax=products, title="Products most often left behind")
    if "cart_stats" in streams:
        frame = _print("Carts by window", query(WINDOWS), "from to abandoned recovered")
        if not frame.empty:
            frame.tail(13).plot.bar("from", ax=windows, y=["abandoned", "recovered"])
    picture.parent.mkdir(parents=True, exist_ok=True)
    warnings.filterwarnings("ignore", "Glyph")  # the font has no emoji
    figure.savefig(picture, dpi=110)


def _print(title: str, rows: list[tuple[Any, ...]], columns: str) -> pd.DataFrame:
    cells = [[_one_line(each) if isinstance(each, str) else each for each in row] for row in rows]
    frame = pd.DataFrame(cells, columns=columns.split())
    if rows:
        print(f"\n{title}\n{frame.tail(8).to_string(index=False)}", flush=True)
    return frame.replace(r"\$", r"\\$", regex=True)  # in matplotlib, $ begins a formula


def _one_line(text: str) -> str:
    """Replace control characters in a text, and cut it to 40 characters."""
    plain = "".join(each if each.isprintable() else " " for each in text).strip() or "?"
    return f"{plain[:39]}…" if len(plain) > 40 else plain
