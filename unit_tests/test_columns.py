"""What fits into which column, and what is kept beside."""

import json
from pathlib import Path
from typing import Any

import pytest

from sync.columns import OTHERS, fit, kinds

SCHEMAS = Path(__file__).parent.parent / "source_abandoned_carts/schemas"


@pytest.mark.parametrize(
    ("field", "kind"),
    [
        ({"type": ["null", "string"]}, "text"),
        ({"type": "string"}, "text"),
        ({"type": ["null", "string"], "format": "date-time"}, "timestamp"),
        ({"type": ["number", "null"]}, "number"),
        ({"type": ["null", "integer"]}, "integer"),
        ({"type": ["null", "boolean"]}, "boolean"),
        ({"type": ["null", "array"]}, "array"),
        ({"type": ["null", "object"]}, "object"),
        ({"type": ["null", "integer", "string"]}, "json"),
        ({"type": ["null", "object", "array"]}, "json"),
        ({}, "json"),
    ],
)
def test_the_kind_of_a_column_follows_from_the_schema(field, kind):
    assert kinds({"properties": {"field": field, OTHERS: {"type": "object"}}}) == {"field": kind}


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("text", ""),
        ("text", "00123"),
        ("number", 0),
        ("number", 19.99),
        ("number", -(2**53)),
        ("integer", 2**63 - 1),
        ("integer", -(2**63)),
        ("boolean", False),
        ("array", []),
        ("object", {}),
        ("json", 0),
        ("json", "0"),
        ("json", False),
        ("json", [{}]),
    ],
)
def test_what_fits_is_kept_as_it_is(kind: Any, value):
    assert fit({"field": value}, {"field": kind}) == {"field": value, OTHERS: None}


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("text", 123),
        ("text", ["a"]),
        ("number", "19.99"),
        ("number", True),
        ("number", 2**53 + 1),
        ("integer", 2**63),
        ("integer", 1.0),
        ("integer", False),
        ("boolean", 0),
        ("boolean", "true"),
        ("array", {}),
        ("object", []),
        ("timestamp", 1700000000),
        ("timestamp", "2024-01-01"),
        ("timestamp", "2024-01-01T00:00:00"),
        ("timestamp", "2024-01-01T00:00:00+00:00"),
        ("timestamp", "2024-02-30T00:00:00Z"),
        ("timestamp", "2024-01-01T23:59:60Z"),
        ("timestamp", "2024-01-01T00:00:00.Z"),
        ("timestamp", "2024-01-01T00:00:00.١Z"),
    ],
)
def test_what_does_not_fit_is_kept_beside(kind: Any, value):
    assert fit({"field": value}, {"field": kind}) == {OTHERS: {"field": value}}


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("2024-01-01T00:00:00Z", "2024-01-01T00:00:00.0Z"),
        ("2024-01-01T00:00:00.12Z", "2024-01-01T00:00:00.12Z"),
        ("2024-01-01T00:00:00.1234569Z", "2024-01-01T00:00:00.123456Z"),
    ],
)
def test_date_times_are_cut_to_microseconds(text, kept):
    assert fit({"field": text}, {"field": "timestamp"}) == {"field": kept, OTHERS: None}


def test_names_are_compared_to_the_letter_and_nulls_are_left_out():
    row = fit({"email": None, "Email": "x", "new": None, OTHERS: 1}, {"email": "text", "a": "text"})
    assert row == {OTHERS: {"Email": "x", OTHERS: 1}}


@pytest.mark.parametrize("schema", sorted(SCHEMAS.glob("*.json")), ids=lambda path: path.stem)
def test_no_two_columns_have_one_name(schema: Path):
    names = [name.lower() for name in kinds(json.loads(schema.read_text()))]
    assert len(set(names)) == len(names)
