"""Read the JSON files that the command line names: configuration, catalog and state.

People write and paste these files, so an error says where the file is wrong and the likeliest
cause. It never quotes a file, which can hold credentials.
"""

import json
import re
from collections.abc import Callable
from typing import Any, TypeVar

from airbyte_cdk.models import (
    AirbyteStateMessage,
    AirbyteStateMessageSerializer,
    ConfiguredAirbyteCatalog,
    ConfiguredAirbyteCatalogSerializer,
)
from serpyco_rs import SchemaValidationError

from .errors import config_error

_T = TypeVar("_T")

_SMART_QUOTES = 'Write straight double quotes (") around texts and names.'
# What is wrong at the position of a JSON error. The first pattern that matches applies: it is
# searched in the text before the position, an arrow, and the text from the position on.
_CAUSES = (
    (r"^\s*→\s*$", "The file is empty."),
    (r",\s*→\s*[]}]|→,\s*[]}]", "Remove the comma before the closing bracket."),
    (r"→\s*['“”„‟‘’‚«»]", _SMART_QUOTES),
    (r'[“”][^"\n]*→[\x00-\x1f]|→"[^"]*[“”]', _SMART_QUOTES),
    (r"→\s*(//|/\*|#)", "Remove the comment: JSON has none."),
    (r"→\s*(True|False|None)\b", "Write true, false and null in lower case."),
    (r"→\\", r"Write a backslash as two: \\."),
    (r"→[\x00-\x1f]", "Remove the line break or tab within the quotes."),
    (r"→\s*$", "The end of the file is missing."),
    (r"[]}]\s*→", "Remove what follows the closing bracket, or write a comma before it."),
    (r'["0-9el]\s*→\s*["0-9[{]', "A comma is missing."),
    (r'→"', "The closing quotes of this text are missing."),
)


def read_config(path: str) -> dict[str, Any]:
    """Return the settings. Raises AirbyteTracedException of the type config_error, as all here."""
    settings = _read("configuration", path)
    if not isinstance(settings, dict):
        raise _not_a("configuration", path, "It must be an object: {“start_date”: …}.")
    return settings


def read_catalog(path: str) -> ConfiguredAirbyteCatalog:
    """Return the streams to read, and how."""
    value = _read("catalog", path)
    return _load("catalog", path, ConfiguredAirbyteCatalogSerializer.load, value)


def read_state(path: str | None) -> list[AirbyteStateMessage]:
    """Return the saved states, one per stream. No path and an empty file of states give none."""
    value = _read("state", path) if path else None
    if value in (None, {}, []):
        return []
    if not isinstance(value, list):
        raise _not_a("state", path, "It must be a list of states.")
    states = [_load("state", path, AirbyteStateMessageSerializer.load, item) for item in value]
    if not all(state.stream for state in states):
        raise _not_a("state", path, "Each state must have “type”: “STREAM” and a “stream”.")
    return states


def _read(what: str, path: str) -> Any:
    try:
        with open(path, "rb") as file:
            content = file.read()
    except OSError as error:
        raise config_error(f"The {what} file {path} cannot be read: {error.strerror}.") from None
    encoding = "utf-8-sig"  # without a byte order mark, too
    if content.startswith((b"\xff\xfe", b"\xfe\xff")) or b"\0" in content[:4]:
        raise _not_json(what, path, "", 0, "The file is in UTF-16. Save it in UTF-8.")
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError as error:
        before = content[: error.start].decode(encoding)
        advice = "A character is not in UTF-8. Save the file in UTF-8."
        raise _not_json(what, path, before, len(before), advice) from None
    try:
        return json.loads(text, parse_constant=_refuse)
    except _ConstantError as error:
        position = text.find(str(error))
        advice = f"{error} is not JSON. Write a number."
        raise _not_json(what, path, text, position, advice) from None
    except json.JSONDecodeError as error:
        raise _not_json(what, path, text, error.pos, _cause(text, error.pos)) from None
    except (RecursionError, ValueError):  # too deep, or an integer of thousands of digits
        raise _not_a(
            what, path, "It is nested too deeply, or a number in it is too long."
        ) from None


class _ConstantError(ValueError):
    """NaN, Infinity or -Infinity, which Python accepts."""


def _refuse(constant: str) -> None:
    raise _ConstantError(constant)


def _load(what: str, path: str | None, load: Callable[[Any], _T], value: Any) -> _T:
    """Return the CDK's model for a value. An error names the field, which holds no data."""
    try:
        return load(value)
    except Exception as error:  # its text quotes the file
        errors = error.errors if isinstance(error, SchemaValidationError) else ()
        places = [one.instance_path.replace("/", ".") for one in errors if one.instance_path]
        field = f"The field {places[0]}" if places else "A field"
        raise _not_a(what, path, f"{field} is missing or has a wrong value.") from None


def _cause(text: str, position: int) -> str:
    around = f"{text[:position]}→{text[position:]}"
    return next((advice for pattern, advice in _CAUSES if re.search(pattern, around)), "")


def _not_json(what: str, path: str, text: str, position: int, advice: str) -> Exception:
    line = text.count("\n", 0, position) + 1
    column = position - text.rfind("\n", 0, position)
    where = f"line {line}, column {column}"
    return config_error(f"The {what} file {path} is not JSON ({where}). {advice}".rstrip())


def _not_a(what: str, path: str | None, advice: str) -> Exception:
    return config_error(f"The {what} file {path} is JSON, but not a {what}. {advice}")
