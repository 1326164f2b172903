"""The configuration: the user's settings, validated against the spec."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from jsonschema import Draft7Validator

from .json_text import is_encodable
from .responses import config_error
from .timestamps import to_rfc3339

_FILTERS = {  # Snipcart's query parameters, and the settings that they come from
    "timeRange": "snipcart_time_range",
    "minimalValue": "snipcart_minimal_value",
    "email": "snipcart_email",
    "productId": "snipcart_product_id",
    "campaignId": "snipcart_campaign_id",
}


@dataclass(frozen=True)
class Config:
    """The settings of one connection.

    `start` is RFC 3339 in UTC. `filters` are Snipcart's query parameters. `page_size` is None if
    the connector adapts it. The names of the other numbers end in their units.
    """

    start: str
    snipcart_api_key: str | None = field(repr=False)
    retargeting_rest_key: str | None = field(repr=False)
    filters: Mapping[str, str] = field(repr=False)
    page_size: int | None
    full_scan_hours: int
    departed_carts: bool
    window_days: int
    lookback_days: int

    @property
    def fingerprint(self) -> str:
        """A short text that changes with the filters and does not disclose them."""
        text = json.dumps(self.filters, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]


def read_config(settings: Mapping[str, Any], spec: Mapping[str, Any]) -> Config:
    """Validate the settings; `spec` is the connectionSpecification of spec.yaml.

    A field that is null or empty counts as missing. Raises AirbyteTracedException of the type
    config_error, which names the field and not its value.
    """
    values: dict[str, Any] = {}
    for name, schema in spec["properties"].items():
        value = settings.get(name)
        if value is None or (isinstance(value, str) and not value.strip()):
            if name in spec["required"]:
                raise config_error(f"“{schema['title']}” ({name}) is missing. Fill it in.")
            value = schema.get("default")
        elif not Draft7Validator(schema).is_valid(value) or not is_encodable(str(value)):
            raise config_error(f"“{schema['title']}” ({name}) must be {_expected(schema)}.")
        elif isinstance(value, float) and value.is_integer():
            value = int(value)  # JSON Schema accepts 30.0 as an integer
        values[name] = value
    keys = ("snipcart_api_key", "retargeting_rest_key")
    if not any(values[name] for name in keys):
        titles = " or ".join(f"“{spec['properties'][name]['title']}” ({name})" for name in keys)
        raise config_error(f"No API key is set. Fill in {titles}, or both.")
    start = to_rfc3339(values["start_date"])
    if start is None:  # the pattern in the spec accepts February 31
        raise config_error("“Start date” (start_date) must be an existing date in 1970 or later.")
    return Config(
        start=start,
        snipcart_api_key=values["snipcart_api_key"],
        retargeting_rest_key=values["retargeting_rest_key"],
        filters={k: str(values[v]) for k, v in _FILTERS.items() if values[v] is not None},
        page_size=values["snipcart_page_size"],
        full_scan_hours=values["snipcart_full_scan_hours"],
        departed_carts=values["snipcart_departed_carts"],
        window_days=values["retargeting_window_days"],
        lookback_days=values["retargeting_lookback_days"],
    )


def _expected(schema: Mapping[str, Any]) -> str:
    if "enum" in schema:
        return "one of " + ", ".join(schema["enum"])
    if "pattern_descriptor" in schema:
        return f"written as {schema['pattern_descriptor']}"
    if schema["type"] in ("string", "boolean"):
        return "text" if schema["type"] == "string" else "true or false"
    number = "whole number" if schema["type"] == "integer" else "number"
    return f"a {number} from {schema['minimum']} to {schema['maximum']}"
