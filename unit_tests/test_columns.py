"""What fits into which column, and what is kept beside."""

import json
from datetime import datetime, timezone
from pathlib import Path

import pytest

from sync.columns import OTHERS, column_name, kind_of, to_row

NEW_YEAR = datetime(2024, 1, 1, tzinfo=timezone.utc)
SCHEMAS = Path(__file__).parent.parent / "source_abandoned_carts/schemas"


@pytest.mark.parametrize(
    ("field", "kind"),
    [
        ({"type": "string"}, "string"),
        ({"type": ["null", "string"], "format": "date-time"}, "date-time"),
        ({"type": ["number", "null"]}, "number"),
        ({"type": ["null", "integer", "string"]}, "any"),
        ({}, "any"),
    ],
)
def test_the_kind_of_a_column_follows_from_the_schema(field, kind):
    assert kind_of(field) == kind


@pytest.mark.parametrize(
    ("kind", "value", "kept"),
    [
        ("string", "00123", "00123"),
        ("number", 19.99, 19.99),
        ("number", -(2**53), -(2.0**53)),
        ("integer", 2**63 - 1, 2**63 - 1),
        ("integer", -(2**63), -(2**63)),
        ("boolean", False, False),
        ("array", [], "[]"),
        ("object", {"é": None}, '{"é": null}'),
        ("any", "0", '"0"'),
        ("any", False, "false"),
        ("date-time", "2024-01-01T00:00:00Z", NEW_YEAR),
        ("date-time", "2024-01-01T00:00:00.1234569Z", NEW_YEAR.replace(microsecond=123456)),
    ],
)
def test_what_fits_is_kept(kind, value, kept):
    row = to_row({"field": value, "null": None}, {"field": kind, "null": kind})
    assert row == {"field": kept}
    assert type(row["field"]) is type(kept)


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("string", 123),
        ("number", "19.99"),
        ("number", True),
        ("number", 2**53 + 1),
        ("integer", 2**63),
        ("integer", 1.0),
        ("array", {}),
        ("object", []),
        ("date-time", 1700000000),
        ("date-time", "2024-02-30T00:00:00Z"),
        ("date-time", "2024-01-01T00:00:00.١Z"),
    ],
)
def test_what_does_not_fit_is_kept_beside(kind, value):
    row = to_row({"field": value, "new": {"a": None}}, {"field": kind})
    assert {name: json.loads(text) for name, text in row.items()} == {
        OTHERS: {"field": value, "new": {"a": None}}
    }


@pytest.mark.parametrize("schema", sorted(SCHEMAS.glob("*.json")), ids=lambda path: path.stem)
def test_every_column_has_a_name_of_its_own_that_needs_no_quotes(schema: Path):
    names = [column_name(field) for field in json.loads(schema.read_text())["properties"]]
    assert len({*names, OTHERS}) == len(names) + 1
    assert all(name.isascii() and name.isidentifier() and name.islower() for name in names)
    assert column_name("itemsTotalWithoutTaxes") == "items_total_without_taxes"
