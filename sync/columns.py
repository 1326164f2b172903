"""Which columns a stream's table has, and what fits into them. Pure."""

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Literal

Kind = Literal["text", "timestamp", "number", "integer", "boolean", "array", "object", "json"]

OTHERS = "_airbyte_additional_properties"
"""The column for all that has no column of its own or does not fit into it: a JSON object by
name. Airbyte's file destinations have one of the same name."""

_DATE_TIME = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,6})\d*)?Z", re.ASCII)


def kinds(schema: Mapping[str, Any]) -> dict[str, Kind]:
    """The kind of column of each field in a stream's JSON schema."""
    return {name: _kind(field) for name, field in schema["properties"].items() if name != OTHERS}


def fit(record: Mapping[str, Any], columns: Mapping[str, Kind]) -> dict[str, Any]:
    """Give a record as its columns take it: values that no column can hold go to OTHERS.

    Date-times are cut to microseconds, as databases have them.
    """
    row: dict[str, Any] = {}
    others: dict[str, Any] = {}
    for name, value in record.items():
        if value is None:
            continue
        fitting = _fitting(value, columns[name]) if name in columns else None
        if fitting is None:
            others[name] = value
        else:
            row[name] = fitting
    return {**row, OTHERS: others or None}


def _kind(field: Mapping[str, Any]) -> Kind:
    if field.get("format") == "date-time":
        return "timestamp"
    types = field.get("type", [])
    match [kind for kind in ([types] if isinstance(types, str) else types) if kind != "null"]:
        case ["string"]:
            return "text"
        case ["number" | "integer" | "boolean" | "array" | "object" as kind]:
            return kind
        case _:
            return "json"


def _fitting(value: Any, kind: Kind) -> Any:  # noqa: PLR0911 one line for each kind
    """The value as a column of this kind takes it; None if it cannot."""
    match kind, value:
        case "json", _:
            return value
        case "text", str():
            return value
        case "boolean", bool():
            return value
        case (("number" | "integer"), bool()):
            return None
        case "number", float():
            return value
        case "number", int():
            return value if abs(value) <= 2**53 else None
        case "integer", int():
            return value if -(2**63) <= value < 2**63 else None
        case ("array", list()) | ("object", dict()):
            return value
        case "timestamp", str():
            return _microseconds(value)
    return None


def _microseconds(text: str) -> str | None:
    """An RFC 3339 date-time in UTC with six digits of a second's fraction at most."""
    found = _DATE_TIME.fullmatch(text)
    if found is None:
        return None
    moment, fraction = found.groups()
    try:
        datetime.fromisoformat(moment)
    except ValueError:
        return None
    return f"{moment}.{fraction or 0}Z"
