"""How values are stored: in a column of their kind, or in a JSON column."""

import json
from datetime import datetime, timezone

import pytest

from source_abandoned_carts.json_schemas import read_schema
from sync.columns import OTHERS, column_name, kind_of, to_row

from .helpers import SCHEMA_FILES

NEW_YEAR = datetime(2024, 1, 1, tzinfo=timezone.utc)


@pytest.mark.parametrize(
    ("field", "kind"),
    [
        ({"type": "string"}, "string"),
        ({"type": ["null", "string"], "format": "date-time"}, "date-time"),
        ({"type": ["number", "null"]}, "number"),
        ({"type": ["null", "integer", "string"]}, "any"),
        ({"anyOf": [{"type": "null"}, {"type": "object"}, {"type": "string"}]}, "any"),
        ({}, "any"),
    ],
)
def test_column_kind_follows_the_schema(field, kind):
    assert kind_of(field) == kind


@pytest.mark.parametrize(
    ("kind", "value", "stored"),
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
def test_stores_a_value_that_fits_its_column(kind, value, stored):
    row = to_row({"field": value, "null": None}, {"field": kind, "null": kind})
    assert row == {"field": stored}
    assert type(row["field"]) is type(stored)


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
def test_stores_other_values_in_the_json_column(kind, value):
    row = to_row({"field": value, "new": {"a": None}}, {"field": kind})
    assert {name: json.loads(text) for name, text in row.items()} == {
        OTHERS: {"field": value, "new": {"a": None}}
    }


def test_fields_with_several_kinds_are_stored_as_json():
    fields = read_schema("abandoned_carts")["properties"]
    several = {"metadata", "recoveryCampaignStatus", "shippingCharged", "paymentMethod"}
    assert {name: kind_of(fields[name]) for name in several} == dict.fromkeys(several, "any")


@pytest.mark.parametrize("path", SCHEMA_FILES, ids=lambda path: path.stem)
def test_column_names_are_unique_and_need_no_quotes(path):
    names = [column_name(field) for field in read_schema(path.stem)["properties"]]
    assert len({*names, OTHERS}) == len(names) + 1
    assert all(name.isascii() and name.isidentifier() and name.islower() for name in names)
    assert column_name("itemsTotalWithoutTaxes") == "items_total_without_taxes"
