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


def fingerprints(config: Path) -> list[str]:
    """Return short texts that identify the settings, the current form first.

    The second form changes with each byte of the file. Earlier versions saved it.
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
    parsed = json.dumps(_parsed(settings), sort_keys=True)
    return [hashlib.sha256(each).hexdigest()[:12] for each in (parsed.encode(), content)]


def _parsed(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values that the connector uses: only known settings, with defaults."""
    spec = yaml.safe_load(
        resources.files("source_abandoned_carts").joinpath("spec.yaml").read_text("utf-8")
    )
    values = {}
    for name, schema in spec["connectionSpecification"]["properties"].items():
        value = settings.get(name)
        if isinstance(value, str):
            value = value.strip() or None
        if name == "start_date":
            value = re.sub(r"T00:00:00(\.0+)?(Z|\+00:00)$", "", str(value))
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        values[name] = schema.get("default") if value is None else value
    return values
