"""Reads the connector's settings file, to recognize changed settings."""

import hashlib
import json
import re
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any

import yaml

from .errors import SyncError

_EXAMPLE_SETTINGS = '{"start_date": "2024-01-01", "snipcart_api_key": "YOUR SECRET KEY"}'


def fingerprints(config: Path) -> dict[str, list[str]]:
    """Return short texts that identify the settings of each stream, the current form first.

    They hold only values other than the defaults, so that a new setting changes none. The state of
    departed_carts cannot be had again, and only another account or mode makes it wrong, so its
    fingerprint is that of the key. Earlier versions saved the other forms: of all values with the
    defaults, and of each byte of the file.
    """
    try:
        content = config.read_bytes()
    except FileNotFoundError:
        raise SyncError(
            f"There is no settings file {config.absolute()}. Write your settings into it, for "
            f"example {_EXAMPLE_SETTINGS}, or name another file with CONFIG=PATH."
        ) from None
    try:
        settings = json.loads(content.decode("utf-8-sig"))
    except json.JSONDecodeError as error:
        raise SyncError(
            f"{config.absolute()} is not valid JSON: see line {error.lineno}, column "
            f"{error.colno}. Correct it. It looks like this: {_EXAMPLE_SETTINGS}."
        ) from None
    except ValueError:
        raise SyncError(f"{config.absolute()} is not encoded in UTF-8. Save it as UTF-8.") from None
    if not isinstance(settings, dict):
        raise SyncError(f"{config.absolute()} must contain an object, such as {_EXAMPLE_SETTINGS}.")
    values, defaults = _parsed(settings)
    chosen = {name: value for name, value in values.items() if value != defaults[name]}
    key = {"snipcart_api_key": values["snipcart_api_key"]}
    earlier = [_hash(_json(values)), _hash(content)]
    of_others = [_hash(_json(chosen)), *earlier]
    of_departed = [_hash(_json(key)), *earlier]
    return {"abandoned_carts": of_others, "cart_stats": of_others, "departed_carts": of_departed}


def _json(values: Mapping[str, Any]) -> bytes:
    return json.dumps(values, sort_keys=True).encode()


def _hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:12]


def _parsed(settings: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the values of all known settings, as the connector uses them, and the defaults."""
    spec = yaml.safe_load(
        resources.files("source_abandoned_carts").joinpath("spec.yaml").read_text("utf-8")
    )
    values, defaults = {}, {}
    for name, schema in spec["connectionSpecification"]["properties"].items():
        value = settings.get(name)
        if isinstance(value, str):
            value = value.strip() or None
        if name == "start_date":
            value = re.sub(r"T00:00:00(\.0+)?(Z|\+00:00)$", "", str(value))
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        defaults[name] = schema.get("default")
        values[name] = defaults[name] if value is None else value
    return values, defaults
