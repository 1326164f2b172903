"""Read JSON as the APIs send it into values that every JSON writer can write."""

import json
import math
import re
from typing import Any

import orjson

_SURROGATE = re.compile("[\ud800-\udfff]")


class TooDeepError(ValueError):
    """A JSON text is nested too deeply to be parsed."""


def parse(content: bytes | bytearray) -> Any:
    """Return the value of a JSON text. Raises ValueError; TooDeepError from 1,024 levels on.

    Unpaired surrogates become U+FFFD, and integers beyond 64 bits become floating-point numbers.
    Numbers beyond the range of floating point become texts.
    """
    try:
        return _loads(content)
    except orjson.JSONDecodeError:
        # Unlike orjson, json accepts unpaired surrogates, and it joins the pairs.
        try:
            value = json.loads(content, parse_float=_float, parse_int=_int, parse_constant=_refuse)
            text = json.dumps(value, ensure_ascii=False)
        except RecursionError:
            raise TooDeepError from None
        return _loads(_SURROGATE.sub("\ufffd", text))


def _float(text: str) -> float | str:
    return number if math.isfinite(number := float(text)) else text


def _int(text: str) -> int | str:
    return int(text) if len(text) < 300 else text


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")


def _loads(content: bytes | bytearray | str) -> Any:
    try:
        return orjson.loads(content)
    except orjson.JSONDecodeError as error:
        if "limit exceeded" in error.msg:
            raise TooDeepError from None
        raise


def is_encodable(text: str) -> bool:
    """Return whether UTF-8 can encode a text: it cannot encode unpaired surrogates."""
    return not _SURROGATE.search(text)
