"""Which columns a stream's table has, and what fits into them. Pure."""

import json
import re
from collections.abc import Mapping
from datetime import datetime
from functools import cache
from typing import Any, Literal

Kind = Literal["string", "number", "integer", "boolean", "array", "object", "date-time", "any"]

OTHERS = "other_fields"
"""The JSON column for fields without a column of their own and values that do not fit theirs."""


@cache
def column_name(field: str) -> str:
    """Write a field's name as a column's: modificationDate becomes modification_date."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", field).lower()


def kind_of(declared: Mapping[str, Any]) -> Kind:
    """Give the kind of column for a field, by what a stream's JSON schema declares."""
    types = declared.get("type", [])
    named = [name for name in ([types] if isinstance(types, str) else types) if name != "null"]
    match declared.get("format"), named:
        case "date-time", _:
            return "date-time"
        case _, ["string" | "number" | "integer" | "boolean" | "array" | "object" as kind]:
            return kind
    return "any"


def fit(record: Mapping[str, Any], columns: Mapping[str, Kind]) -> dict[str, Any]:
    """Turn a record into a row, by column name; what fits no column goes to OTHERS."""
    row: dict[str, Any] = {}
    others: dict[str, Any] = {}
    for field, value in record.items():
        if value is None:
            continue
        fitting = _fitting(value, columns[field]) if field in columns else None
        if fitting is None:
            others[field] = value
        else:
            row[column_name(field)] = fitting
    return row | {OTHERS: _json(others)} if others else row


def _fitting(value: Any, kind: Kind) -> Any:  # noqa: PLR0911 one line for each kind
    """The value as a column of this kind takes it; None if it cannot."""
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
            return _moment(value)
    return None


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _moment(text: str) -> datetime | None:
    """Parse a date-time as the connector writes it, in UTC, and cut it to microseconds."""
    seconds, _, fraction = text.removesuffix("Z").partition(".")
    try:
        return datetime.fromisoformat(f"{seconds}.{fraction[:6]:0<6}+00:00")
    except ValueError:
        return None
