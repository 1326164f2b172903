"""Read JSON as the APIs send it into values that every JSON writer can write."""

import json
import re
from typing import Any

import orjson

_SURROGATE = re.compile("[\ud800-\udfff]")


def parse(content: bytes) -> Any:
    """Return the value of a JSON text. Raises ValueError or RecursionError.

    Unpaired surrogates become U+FFFD, and integers beyond 64 bits become floating-point numbers.
    """
    try:
        return orjson.loads(content)
    except orjson.JSONDecodeError:
        # Unlike orjson, json accepts unpaired surrogates, and it joins the pairs.
        text = json.dumps(json.loads(content), ensure_ascii=False)
        return orjson.loads(_SURROGATE.sub("\ufffd", text))


def is_encodable(text: str) -> bool:
    """Return whether UTF-8 can encode a text: it cannot encode unpaired surrogates."""
    return not _SURROGATE.search(text)
