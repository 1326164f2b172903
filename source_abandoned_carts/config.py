"""The configuration: the user's settings, validated against the spec."""

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any

from jsonschema import Draft7Validator

from .errors import config_error
from .json_text import is_encodable
from .timestamps import sort_key, to_rfc3339

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
        if schema.get("airbyte_secret") and isinstance(value, str):
            value = value.strip()  # people copy keys with a space or a line break
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
    if values["snipcart_departed_carts"] and not values["snipcart_api_key"]:
        names = ("snipcart_departed_carts", "snipcart_api_key")
        departed_carts, key = (f"“{spec['properties'][name]['title']}” ({name})" for name in names)
        raise config_error(f"{departed_carts} needs {key}. Fill in the key, or turn it off.")
    start = to_rfc3339(values["start_date"])
    if start is None:  # the pattern in the spec accepts February 31
        raise config_error("“Start date” (start_date) must be an existing date in 1970 or later.")
    return Config(
        start=f"{sort_key(start).rstrip('.')}Z",  # states of 00Z and 00.000Z are the same
        snipcart_api_key=values["snipcart_api_key"],
        retargeting_rest_key=values["retargeting_rest_key"],
        filters={k: str(values[v]) for k, v in _FILTERS.items() if values[v] is not None},
        page_size=values["snipcart_page_size"],
        full_scan_hours=values["snipcart_full_scan_hours"],
        departed_carts=values["snipcart_departed_carts"],
        window_days=values["retargeting_window_days"],
        lookback_days=values["retargeting_lookback_days"],
    )


def unknown_settings(settings: Mapping[str, Any], spec: Mapping[str, Any]) -> Iterator[str]:
    """Yield a sentence for each setting that is none, but that was probably meant to be one."""
    known = {_letters(name): name for name in spec["properties"]}
    for name in settings:
        if name in spec["properties"]:
            continue
        letters = _letters(name)
        contained = [one for one in known if len(letters) > 3 and letters in one]
        if similar := contained or get_close_matches(letters, known, n=1):
            yield f"The connector ignores the setting {name}. Did you mean {known[similar[0]]}?"
        elif name.startswith(("snipcart_", "retargeting_")):
            yield f"The connector ignores the setting {name}. Check its spelling."


def _letters(name: str) -> str:
    """Return what snake case and camel case have in common."""
    return re.sub("[^a-z]", "", name.lower())


def _expected(schema: Mapping[str, Any]) -> str:
    if "enum" in schema:
        return "one of " + ", ".join(schema["enum"])
    if "pattern_descriptor" in schema:
        return f"written as {schema['pattern_descriptor']}"
    if schema["type"] in ("string", "boolean"):
        return "text" if schema["type"] == "string" else "true or false"
    number = "whole number" if schema["type"] == "integer" else "number"
    return f"a {number} from {schema['minimum']} to {schema['maximum']}"
