"""Maps a stream's fields to columns, and its records to rows. Pure."""

import json
import re
from collections.abc import Mapping
from datetime import datetime
from functools import cache
from typing import Any, Literal

Kind = Literal["string", "number", "integer", "boolean", "array", "object", "date-time", "any"]

OTHERS = "other_fields"
"""The JSON column for fields without a column, and for values that do not fit their column."""


@cache
def column_name(field: str) -> str:
    """Convert a field's name to snake case: modificationDate becomes modification_date."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", field).lower()


def kind_of(declared: Mapping[str, Any]) -> Kind:
    """Return the kind of column for a field, from its JSON schema.

    A field with several types, or with `anyOf` instead of a type, has a column of the kind "any".
    """
    types = declared.get("type", [])
    named = [name for name in ([types] if isinstance(types, str) else types) if name != "null"]
    match declared.get("format"), named:
        case "date-time", _:
            return "date-time"
        case _, ["string" | "number" | "integer" | "boolean" | "array" | "object" as kind]:
            return kind
    return "any"


def to_row(record: Mapping[str, Any], columns: Mapping[str, Kind]) -> dict[str, Any]:
    """Convert a record to a row. Values that do not fit their column go to OTHERS."""
    row: dict[str, Any] = {}
    others: dict[str, Any] = {}
    for field, value in record.items():
        if value is None:
            continue
        converted = _convert(value, columns[field]) if field in columns else None
        if converted is None:
            others[field] = value
        else:
            row[column_name(field)] = converted
    return row | {OTHERS: _json(others)} if others else row


def _convert(value: Any, kind: Kind) -> Any:  # noqa: PLR0911 one return for each kind
    """Return the value as this kind of column stores it, or None if it does not fit."""
    match kind, value:
        case ("any", _) | ("array", list()) | ("object", dict()):
            return _json(value)
        case ("string", str()) | ("boolean", bool()):
            return value
        case "number" | "integer", bool():
            return None
        case "number", int() | float() if abs(value) <= 2**53 or isinstance(value, float):
            return float(value)
        case "integer", int() if -(2**63) <= value < 2**63:
            return value
        case "date-time", str():
            return _parse_date_time(value)
    return None


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _parse_date_time(text: str) -> datetime | None:
    """Parse a date-time that the connector wrote in UTC, and cut it to microseconds."""
    seconds, _, fraction = text.removesuffix("Z").partition(".")
    try:
        return datetime.fromisoformat(f"{seconds}.{fraction[:6]:0<6}+00:00")
    except ValueError:
        return None
