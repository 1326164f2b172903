"""Read JSON as the APIs send it into values that every JSON writer can write."""

import json
import re
from typing import Any

import orjson

_SURROGATE = re.compile("[\ud800-\udfff]")


def parse(content: bytes) -> Any:
    """Return the value of a JSON text. Raises ValueError, and RecursionError for a deep one.

    Unpaired surrogates, which some JSON writers refuse, become U+FFFD. Integers beyond 64 bits
    become floating-point numbers.
    """
    try:
        return orjson.loads(content)
    except orjson.JSONDecodeError:
        # json accepts unpaired surrogates, which orjson refuses, and joins the pairs.
        text = json.dumps(json.loads(content), ensure_ascii=False)
        return orjson.loads(_SURROGATE.sub("\ufffd", text))


def is_encodable(text: str) -> bool:
    """Tell whether a text can be sent: UTF-8 has no unpaired surrogates."""
    return not _SURROGATE.search(text)
