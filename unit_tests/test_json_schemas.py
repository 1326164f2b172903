"""What clients and destinations rely on in the schemas, seen in their code or in syncs."""

import json

import jsonschema
import pytest

from source_abandoned_carts.json_schemas import read_schema
from source_abandoned_carts.snipcart import normalize_dates
from tools.sandbox import make_carts

from .helpers import SCHEMA_FILES

STREAMS = [path.stem for path in SCHEMA_FILES]
SCHEMA = read_schema("abandoned_carts")
KINDS = ("array", "object", "string", "number", "integer", "boolean")
"""Airbyte's typed destinations choose the first of these that a column's `type` lists."""


def columns(schema, path=""):
    """Yield the path and the schema of each field and list entry, at any depth."""
    for name, part in schema.get("properties", {}).items():
        yield f"{path}/{name}", part
        yield from columns(part, f"{path}/{name}")
    if "items" in schema:
        yield f"{path}/[]", schema["items"]
        yield from columns(schema["items"], f"{path}/[]")
    for branch in schema.get("anyOf", []):
        yield from columns(branch, path)


def values(schema, value, path=""):
    """Yield the declared values of a record that are not null: path, schema and value."""
    if value is None:
        return
    yield path, schema, value
    if isinstance(value, dict):
        for name, part in schema.get("properties", {}).items():
            yield from values(part, value.get(name), f"{path}/{name}")
    if isinstance(value, list):
        for entry in value:
            yield from values(schema.get("items", {}), entry, f"{path}/[]")


def is_kept(schema, value):
    """Return whether Airbyte's typed destinations keep the value in a column of this schema."""
    if "type" not in schema:
        return True  # as JSON: anyOf is of no single type
    kind = next(kind for kind in KINDS if kind in schema["type"])
    return jsonschema.Draft7Validator({"type": kind}).is_valid(value)


@pytest.mark.parametrize("stream", STREAMS)
def test_each_field_may_be_null(stream):
    for path, schema in columns(read_schema(stream)):
        assert jsonschema.Draft7Validator(schema).is_valid(None), path


@pytest.mark.parametrize("stream", STREAMS)
def test_dates_are_timestamps_in_airbyte(stream):
    for path, schema in columns(read_schema(stream)):
        is_date = schema.get("format") == "date-time"
        declared = schema.get("airbyte_type")
        assert declared == ("timestamp_with_timezone" if is_date else None), path


@pytest.mark.parametrize("stream", STREAMS)
def test_each_field_has_one_kind_or_anyof(stream):
    for path, schema in columns(read_schema(stream)):
        assert ("type" in schema) != ("anyOf" in schema), path
        for branch in schema.get("anyOf", []):
            assert isinstance(branch["type"], str), path
        assert len(schema.get("type", ["null", ""])) == 2, path


@pytest.mark.parametrize("stream", STREAMS)
def test_each_object_declares_its_properties(stream):
    """Without them, Singer's SDK loses all records and reports no error."""
    schema = read_schema(stream)
    for path, column in [("", schema), *columns(schema)]:
        for branch in column.get("anyOf", [column]):
            if "object" in branch["type"]:
                assert "properties" in branch, path
                assert branch["additionalProperties"] is True, path


@pytest.mark.parametrize("stream", STREAMS)
def test_schemas_contain_no_references(stream):
    text = json.dumps(read_schema(stream))
    assert "$ref" not in text
    assert "definitions" not in text


def test_typed_destinations_keep_all_values_of_the_carts():
    for cart in make_carts(300):
        normalize_dates(cart.document)
        for path, schema, value in values(SCHEMA, cart.document):
            assert is_kept(schema, value), (path, value)


@pytest.mark.parametrize(
    ("path", "seen"),
    [
        ("metadata", [{"a": [1, {}]}, [1, None], "text"]),
        ("items/metadata", [{"a": 1}, ["black"], "text"]),
        ("items/stackable", [True, "auto"]),
        ("items/taxes", [["VAT"], [{"name": "VAT"}]]),
        ("items/paymentSchedule/interval", [0, "Day"]),
        ("items/customFields/operation", ["+10.00", 10, 2.5]),
        ("customFields/operation", ["+10.00", 10, 2.5]),
        ("paymentMethod", [0, "CreditCard"]),
        ("summary/paymentMethod", [0, "CreditCard"]),
        ("summary/shipping", [10.5, {"fees": 10.5}]),
        ("shippingCharged", [True, 10.5]),
        ("recoveryCampaignStatus", ["NotStarted", {"step": 1}]),
    ],
)
def test_typed_destinations_keep_each_kind_of_value(path, seen):
    schema = SCHEMA
    for name in path.split("/"):
        schema = schema.get("items", schema)["properties"][name]
    for value in seen:
        assert is_kept(schema, value)
        jsonschema.validate(value, schema)


@pytest.mark.parametrize(
    ("kinds", "value"),
    [(["null", "object", "array"], {}), (["null", "boolean", "number"], True)],
)
def test_typed_destinations_drop_values_of_a_union_of_types(kinds, value):
    assert not is_kept({"type": kinds}, value)
