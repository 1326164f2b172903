"""The picture and the tables that are printed with it."""

import os
import subprocess
import sys
from datetime import date, datetime, timezone
from decimal import Decimal

import pytest
from PIL import Image

from sync.picture import Picture, drawable
from sync.report import report

from .harness import CARTS, ROOT, STATS
from .syncs import counts

READ_AT = datetime(2026, 3, 4, 12, tzinfo=timezone.utc)  # a Wednesday


def description(path):
    """Return what the PNG file says about itself: its texts, and the sizes of its bars."""
    return Image.open(path).text["Description"]


@pytest.fixture
def drawn(tmp_path):
    """Return a function that draws a panel, and returns the description."""

    def drawn(panel, rows):
        picture = Picture(READ_AT)
        getattr(picture, f"draw_{panel}")(rows)
        picture.save(tmp_path / "carts.png", "Snipcart", "")
        return description(tmp_path / "carts.png")

    return drawn


def test_picture_in_the_readme_is_what_the_code_draws(tmp_path):
    """If this fails, run `make picture`, and look at docs/demo.png."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "sync.demo", "--fixed-date"]
    text = subprocess.check_output(command, cwd=tmp_path, env=environment, text=True)
    drawn = description(tmp_path / "demo/abandoned_carts.png")
    assert drawn == description(ROOT / "docs/demo.png")
    assert f"It reads {counts(text)[CARTS].read} carts: " in text  # the last summary counts


def test_weeks_without_carts_have_a_bar_and_the_running_week_is_marked(drawn):
    weeks = [
        ("2026-02-16", "CAD", 2, Decimal("9.00")),
        ("2026-02-16", "EUR", 1, Decimal("5.00")),
        ("2026-03-02", "EUR", 4, Decimal("20.00")),
        ("2027-01-04", "EUR", 9, Decimal("90.00")),
        ("no date", "EUR", 1, Decimal("5.00")),
    ]
    text = drawn("weeks", weeks)
    assert "; not shown: 9 in other weeks, 1 without a date" in text
    assert "3 | 0 | 4 | 16 Feb 2026 | 23 Feb | 2 Mar so far\n3 0 4" in text


@pytest.mark.parametrize("panel", ["values", "outcomes"])
def test_each_currency_has_axes_of_its_own(drawn, panel):
    first = {"values": "2026-02-16", "outcomes": "bought"}[panel]
    rows = [(first, f"C{number}", number, Decimal("1234.56")) for number in range(1, 6)]
    text = drawn(panel, rows)
    assert [line for line in text.splitlines() if line.startswith("in ")] == [
        "in C3, 3 carts",
        "in C4, 4 carts",
        "in C5, 5 carts",
    ]
    assert text.count("1,235") == 3


def test_window_that_is_not_over_is_marked(drawn):
    rows = [
        (date(2026, 2, 25), date(2026, 3, 3), 1200, 30, 2.5),
        (date(2026, 3, 4), date(2026, 3, 4), 5, 0, 0),
    ]
    text = drawn("windows", rows)
    assert "1,200 | 5 | 30 | 0 | 25 Feb 2026 | 4 Mar so far\n1200 5 30 0" in text


@pytest.mark.parametrize(
    ("name", "drawn_as"),
    [
        ("Mug ☕ 🎉", "Mug ☕"),
        ("$x^$ [red]", "$x^$ [red]"),
        ("\x1b[31mred\n", "[31mred"),
        ("Чашка", "Чашка"),
        ("山の水", "ID 0815"),
        ("🎉", "ID 0815"),
        ("x" * 33, "x" * 31 + "…"),
    ],
)
def test_product_has_a_name_that_the_font_can_draw(name, drawn_as):
    assert drawable(name, "0815") == drawn_as


def test_draws_a_shop_without_carts_and_windows(tmp_path):
    path = tmp_path / "empty.png"
    report(lambda _: [], [CARTS, STATS], "duckdb", path, read_at=READ_AT)
    assert "read on 4 March 2026, 12:00 UTC" in description(path)


def test_printed_table_says_how_many_rows_it_has(tmp_path, capsys):
    def query(text):
        return [(f"p{n}", "x" * 50, "EUR", n, 1) for n in range(10)] if "product" in text else []

    report(query, [CARTS], "duckdb", tmp_path / "carts.png", read_at=READ_AT)
    *_, row, end = capsys.readouterr().out.splitlines()
    assert row.split() == ["p7", "x" * 39 + "…", "EUR", "7", "1"]
    assert end == "(first 8 of 10 rows)"
