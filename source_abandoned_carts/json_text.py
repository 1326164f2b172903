"""JSON as the APIs send it, read into values that any JSON writer can write."""

import json
import math
import re
from typing import Any

import orjson

INVALID = object()
"""What `parse` gives for text that is not JSON."""

_HALF_SURROGATE = re.compile("[\ud800-\udfff]")


def parse(content: bytes) -> Any:
    """Read a JSON text; INVALID where it is none.

    Halves of emoji, which customers' texts hold and which many JSON readers refuse, become U+FFFD.
    Numbers beyond 64 bits become floating, and null where no floating number is that large.
    """
    try:
        return orjson.loads(content)
    except orjson.JSONDecodeError:
        pass
    try:
        value = json.loads(
            content, parse_int=_integer, parse_float=_floating, parse_constant=_refuse
        )
        # All pairs are joined by now: what is left are halves.
        return orjson.loads(_HALF_SURROGATE.sub("\ufffd", json.dumps(value, ensure_ascii=False)))
    except (ValueError, RecursionError):
        return INVALID


def is_whole(text: str) -> bool:
    """Tell whether a text can be sent: halves of emoji have no place in UTF-8."""
    return not _HALF_SURROGATE.search(text)


def _integer(digits: str) -> int | float | None:
    # Python refuses to read very long integers; 300 digits are still within a floating number.
    return int(digits) if len(digits) <= 300 else _floating(digits)


def _floating(digits: str) -> float | None:
    number = float(digits)
    return number if math.isfinite(number) else None


def _refuse(name: str) -> None:
    raise ValueError("NaN and Infinity are not JSON")
