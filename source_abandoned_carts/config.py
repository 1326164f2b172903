"""The settings: what a person filled in, checked against the form and read into a Config."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from jsonschema import Draft7Validator

from .json_text import is_whole


class ConfigError(ValueError):
    """The settings cannot work. The text is a sentence that names the field, and not its value."""


@dataclass(frozen=True)
class Config:
    """The settings of one connection.

    `start` is RFC 3339 in UTC. `filters` are Snipcart's parameters by their names in the API.
    """

    start: str
    snipcart_api_key: str | None = field(repr=False)
    retargeting_rest_key: str | None = field(repr=False)
    filters: Mapping[str, str] = field(repr=False)
    page_size: int
    full_scan_hours: int
    window_days: int
    lookback_days: int

    @property
    def keys(self) -> list[str]:
        """The secrets among the settings."""
        return [key for key in (self.snipcart_api_key, self.retargeting_rest_key) if key]

    @property
    def fingerprint(self) -> str:
        """A short text that differs when the filters do, and does not tell them."""
        text = json.dumps(self.filters, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]


def read_config(raw: Mapping[str, Any], form: Mapping[str, Any]) -> Config:
    """Read the settings; `form` is the connectionSpecification of spec.yaml.

    An optional field that is null or empty counts as not filled in. Raises ConfigError.
    """
    given = {}
    for name, schema in form["properties"].items():
        value = raw.get(name)
        if value is None or (isinstance(value, str) and not value.strip()):
            if name in form["required"]:
                raise ConfigError(f"“{schema['title']}” ({name}) must be filled in.")
            value = schema.get("default")
        elif not Draft7Validator(schema).is_valid(value) or not _can_be_sent(value):
            raise ConfigError(f"“{schema['title']}” ({name}) must be {_described(schema)}.")
        given[name] = value
    if not given["snipcart_api_key"] and not given["retargeting_rest_key"]:
        titles = " or ".join(
            f"“{form['properties'][name]['title']}” ({name})"
            for name in ("snipcart_api_key", "retargeting_rest_key")
        )
        raise ConfigError(f"Neither service has a key: fill in {titles}, or both.")
    return Config(
        start=_start(given["start_date"], form["properties"]["start_date"]),
        snipcart_api_key=given["snipcart_api_key"],
        retargeting_rest_key=given["retargeting_rest_key"],
        filters=_filters(given),
        page_size=int(given["snipcart_page_size"]),
        full_scan_hours=int(given["snipcart_full_scan_hours"]),
        window_days=int(given["retargeting_window_days"]),
        lookback_days=int(given["retargeting_lookback_days"]),
    )


def _start(text: str, schema: Mapping[str, Any]) -> str:
    day = f"{text}T00:00:00Z" if len(text) == len("2024-01-31") else text
    try:
        year = datetime.strptime(day, "%Y-%m-%dT%H:%M:%SZ").year
    except ValueError:  # the pattern lets a 31st of February pass
        year = 0
    if year < 1970:
        raise ConfigError(
            f"“{schema['title']}” (start_date) must be a day that exists, from 1970 on, written "
            f"as {schema['pattern_descriptor']}."
        )
    return day


def _filters(given: Mapping[str, Any]) -> dict[str, str]:
    filters = {
        "timeRange": given["snipcart_time_range"],
        "minimalValue": given["snipcart_minimal_value"],
        "email": given["snipcart_email"],
        "productId": given["snipcart_product_id"],
        "campaignId": given["snipcart_campaign_id"],
    }
    return {name: _text(value) for name, value in filters.items() if value is not None}


def _text(value: str | float) -> str:
    if isinstance(value, str):
        return value
    return f"{value:f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)


def _can_be_sent(value: Any) -> bool:
    if isinstance(value, str):
        return is_whole(value)
    return not isinstance(value, float) or abs(value) < 1e15  # NaN is not, and is no number


def _described(schema: Mapping[str, Any]) -> str:
    if "enum" in schema:
        return "one of " + ", ".join(schema["enum"])
    if "pattern_descriptor" in schema:
        return f"written as {schema['pattern_descriptor']}"
    if schema["type"] == "integer":
        return f"a whole number from {schema['minimum']} to {schema['maximum']}"
    if schema["type"] == "number":
        return f"a number, {schema['minimum']} or more"
    return "text"
