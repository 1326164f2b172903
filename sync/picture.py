"""Draws four panels about abandoned carts into a PNG file."""

import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib import font_manager
from matplotlib.axes import Axes
from matplotlib.container import BarContainer
from matplotlib.figure import Figure, SubFigure

mpl.rcParams["text.parse_math"] = False  # a $ in a product's name is no formula

Rows = list[tuple[Any, ...]]

_PERIODS = 13  # weeks or windows in a panel
_CURRENCIES = 3  # each has axes of its own
_PRODUCTS = 8
_NAME = 32  # characters of a product's name

_BLUE, _GREEN, _GRAY, _YELLOW = "#2f6db5", "#3a9d5d", "#8c8c8c", "#c9a227"
_OUTCOMES = {
    "still abandoned": _BLUE,
    "bought": _GREEN,
    "deleted": _GRAY,
    "ended otherwise": _YELLOW,
}
_RUNNING = 0.45  # the opacity of the bar of a week or window that was not over
_SMALL: dict[str, Any] = {"fontsize": 11, "color": "#444444"}


class Picture:
    """A figure with four panels. Each of the methods draws one of them.

    `read_at` is the time of the sync in UTC. The rows come from the queries in docs/queries.
    """

    def __init__(self, read_at: datetime) -> None:
        self._read_at = read_at
        self._today = read_at.date()
        self._figure = Figure(figsize=(14, 9.4))
        self._figure.set_layout_engine("constrained", w_pad=0.1, h_pad=0.1)
        self._figure.suptitle("Abandoned carts", fontsize=22, fontweight="bold")
        panels: Any = self._figure.subfigures(2, 2, wspace=0.04, hspace=0.04)
        ((self._weeks, self._values), (self._products, self._windows)) = panels

    def draw_weeks(self, rows: Rows) -> None:
        """Draw the carts of each week, from rows of week, currency, carts and value."""
        carts: Counter[str] = Counter()
        for week, _, count, _ in rows:
            carts[week] += count
        unit = "number of carts by Monday of the week"
        undated = carts.pop("no date", 0)
        weeks = self._last_weeks(carts)
        others = sum(carts.values()) - sum(carts[str(week)] for week in weeks)
        hidden = {"in other weeks": others, "without a date": undated}
        if texts := [f"{count:,} {where}" for where, count in hidden.items() if count]:
            unit += f"; not shown: {', '.join(texts)}"
        (axes,) = _panel(self._weeks, "Carts by week of their last change", unit)
        self._draw_by_week(axes, weeks, carts)

    def draw_values(self, rows: Rows) -> None:
        """Draw the value of the carts of each week and currency, from the same rows."""
        units = _currencies(rows)
        title = "Value of the carts by week of their last change"
        for currency, axes in zip(units, _panel(self._values, title, *units.values()), strict=True):
            values = {week: float(value) for week, name, _, value in rows if name == currency}
            values.pop("no date", None)
            self._draw_by_week(axes, self._last_weeks(values), values)

    def draw_outcomes(self, rows: Rows) -> None:
        """Draw what became of the carts, from rows of outcome, currency, carts and value."""
        units = _currencies(rows)
        title = "Value of the carts by what became of them"
        for currency, axes in zip(units, _panel(self._values, title, *units.values()), strict=True):
            found = {outcome: row for outcome, name, *row in rows if name == currency}
            names = [name for name in _OUTCOMES if name in found]
            values = [float(found[name][1]) for name in names]
            labels = [f"{found[name][1]:,.0f}  ({_carts(found[name][0])})" for name in names]
            _draw_list(axes, names, values, labels, [_OUTCOMES[name] for name in names])

    def draw_products(self, rows: Rows) -> None:
        """Draw the most frequent products, from rows of id, name, currency, carts and value."""
        names = {product: name for product, name, *_ in rows}
        carts: Counter[str] = Counter()
        for product, _, _, count, _ in rows:
            carts[product] += count
        unit = "number of carts with the product, of all carts in the table"
        (axes,) = _panel(self._products, "Products most often in the carts", unit)
        most = sorted(carts, key=lambda product: (-carts[product], product))[:_PRODUCTS]
        sizes = [carts[product] for product in most]
        labels = [f"{size:,}" for size in sizes]
        _draw_list(axes, [drawable(names[each], each) for each in most], sizes, labels, _BLUE)

    def draw_windows(self, rows: Rows) -> None:
        """Draw Retargeting's counts, from rows of first day, last day, abandoned, recovered, …"""
        rows = rows[-_PERIODS:]
        firsts = [first for first, *_ in rows]
        running = [last >= self._today for _, last, *_ in rows]
        unit = "number of carts by first day of the window, as Retargeting counts them"
        (axes,) = _panel(self._windows, "Abandoned and recovered carts", unit)
        for column, name, color in ((2, "abandoned", _BLUE), (3, "recovered", _GREEN)):
            counts = [row[column] for row in rows]
            places = [place + (column - 2.5) * 0.42 for place in range(len(rows))]
            bars = axes.bar(places, counts, width=0.4, color=color, label=name)
            _label_periods(axes, bars, counts, running)
        axes.set_xticks(range(len(rows)), _periods(firsts, running))
        if rows:
            self._windows.legend(loc="upper right", ncols=2, frameon=False, fontsize=11)

    def save(self, path: Path, sources: str, note: str) -> None:
        """Write the PNG file. It contains a description for people who cannot see it."""
        at = f"{self._read_at.day} {self._read_at:%B %Y}, {self._read_at:%H:%M} UTC"
        text = (
            f"Source: {sources}, read on {at}. {note}".strip()
            + "\nAll dates are in this time zone. A lighter bar is of a period that was not over."
        )
        self._figure.supxlabel(text, x=0.01, ha="left", **_SMALL)
        path.parent.mkdir(parents=True, exist_ok=True)
        self._figure.savefig(path, dpi=110, metadata={"Description": describe(self._figure)})

    def _draw_by_week(
        self, axes: Axes, weeks: Sequence[date], sizes_by_week: Mapping[str, float]
    ) -> None:
        """Draw a bar for each of these weeks, given by their Mondays."""
        if not weeks:
            return
        running = [week + timedelta(weeks=1) > self._today for week in weeks]
        sizes = [sizes_by_week.get(str(week), 0) for week in weeks]
        bars = axes.bar(range(len(weeks)), sizes, color=_BLUE)
        _label_periods(axes, bars, sizes, running)
        axes.set_xticks(range(len(weeks)), _periods(weeks, running))

    def _last_weeks(self, sizes: Iterable[str]) -> list[date]:
        """Return the Mondays of the last weeks up to the last one in `sizes` that has begun."""
        known = [week for week in map(date.fromisoformat, sizes) if week <= self._today]
        if not known:
            return []
        first = max(min(known), max(known) - timedelta(weeks=_PERIODS - 1))
        number = (max(known) - first).days // 7 + 1
        return [first + timedelta(weeks=place) for place in range(number)]


def drawable(name: str, product_id: str) -> str:
    """Return a product's name in characters that the font has, or its ID if that is impossible.

    Symbols that the font lacks, such as emoji, are left out.
    """
    plain = "".join(each if each.isprintable() else " " for each in name)
    known = "".join(e for e in plain if e in _characters() or unicodedata.category(e) != "So")
    text = " ".join(known.split())
    if not text or set(text) - _characters():
        text = "ID " + "".join(each if each in _characters() else "?" for each in product_id)
    return f"{text[: _NAME - 1]}…" if len(text) > _NAME else text


@cache
def _characters() -> frozenset[str]:
    """Return the characters of DejaVu Sans, the font that matplotlib contains and draws with."""
    font = font_manager.get_font(font_manager.findfont("DejaVu Sans"))
    return frozenset(map(chr, font.get_charmap()))


def describe(figure: Figure) -> str:
    """Return the texts and the sizes of the bars."""
    lines = [text.get_text() for text in figure.texts]
    for panel in figure.subfigs:
        lines += [text.get_text() for text in panel.texts]
        for axes in panel.axes:
            ticks = [*axes.get_xticklabels(), *axes.get_yticklabels()]
            labels = [text.get_text().replace("\n", " ") for text in [*axes.texts, *ticks]]
            containers: list[Any] = list(axes.containers)
            bars = [f"{size:g}" for each in containers for size in each.datavalues]
            lines += [axes.get_title(loc="left"), " | ".join(labels), " ".join(bars)]
        lines += [text.get_text() for legend in panel.legends for text in legend.get_texts()]
    return "\n".join(lines)


def _panel(panel: SubFigure, title: str, *units: str) -> list[Axes]:
    """Return axes for each of the units, one below the other."""
    panel.suptitle(title, x=0.01, ha="left", fontsize=14, fontweight="bold")
    if not units:
        return []
    column: list[Axes] = list(panel.subplots(len(units), 1, squeeze=False)[:, 0])
    for axes, unit in zip(column, units, strict=True):
        axes.set_title(unit, loc="left", **_SMALL)
        axes.spines[["top", "right", "left", "bottom"]].set_visible(False)
        axes.tick_params(length=0, labelsize=11)
        axes.set(xticks=[], yticks=[])
    return column


def _currencies(rows: Rows) -> dict[str, str]:
    """Return the currencies with most carts, and what is drawn above their axes."""
    carts: Counter[str] = Counter()
    for _, currency, count, _ in rows:
        carts[currency] += count
    most = sorted(carts, key=lambda currency: (-carts[currency], currency))[:_CURRENCIES]
    return {currency: f"in {currency}, {_carts(carts[currency])}" for currency in sorted(most)}


def _carts(number: int) -> str:
    return "1 cart" if number == 1 else f"{number:,} carts"


def _periods(firsts: Sequence[date], running: Sequence[bool]) -> list[str]:
    """Return the label of each week or window. The first one and each January have the year."""
    labels = []
    for place, (first, is_running) in enumerate(zip(firsts, running, strict=True)):
        new_year = place == 0 or first.year != firsts[place - 1].year
        third = f"\n{first:%Y}" if new_year else "\nso far" if is_running else ""
        labels.append(f"{first.day}\n{first:%b}{third}")
    return labels


def _draw_list(
    axes: Axes,
    names: Sequence[str],
    sizes: Sequence[float],
    labels: Sequence[str],
    color: str | Sequence[str],
) -> None:
    """Draw a horizontal bar for each name, from top to bottom, with a label to the right of it."""
    bars = axes.barh(range(len(names)), sizes, color=color)
    axes.bar_label(bars, labels, padding=4, fontsize=11)
    axes.set_yticks(range(len(names)), names)
    axes.invert_yaxis()
    axes.margins(x=0.3)


def _label_periods(
    axes: Axes, bars: BarContainer, sizes: Sequence[float], running: Sequence[bool]
) -> None:
    """Write the size above each bar. A bar of a week or window that is not over is lighter."""
    axes.bar_label(bars, [f"{size:,.0f}" for size in sizes], padding=2, fontsize=10)
    axes.margins(y=0.1)
    for bar, is_running in zip(bars, running, strict=True):
        bar.set_alpha(_RUNNING if is_running else 1)
