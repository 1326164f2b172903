import json

import orjson
import pytest

from source_abandoned_carts.json_text import INVALID, parse


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (b'{"a": [1, 2.5, null, true, "\\u00e9"]}', {"a": [1, 2.5, None, True, "é"]}),
        (b'["\\ud83d\\ude00", "\\ud83d", "\\ude00x"]', ["😀", "\ufffd", "\ufffdx"]),
        (b'{"\\ud83d": "\\\\ud83d"}', {"\ufffd": "\\ud83d"}),
        (b"[9223372036854775807, 18446744073709551615]", [2**63 - 1, 2**64 - 1]),
        (b"[123456789012345678901234567890]", [123456789012345678901234567890.0]),
        (b"[1e999, -1e999, 1]", [None, None, 1]),
        (b"[" + b"9" * 5000 + b"]", [None]),
        (b"[" + b"9" * 100 + b', "\\ud83d"]', [float("9" * 100), "\ufffd"]),
        (b'{"a": 1, "a": 2}', {"a": 2}),
        (b"\xef\xbb\xbf[1]", [1]),
        (b'["\\u0000"]', ["\x00"]),
    ],
)
def test_json_is_read_into_what_any_writer_can_write(text, value):
    assert parse(text) == value
    assert json.loads(orjson.dumps(parse(text))) == value


@pytest.mark.parametrize(
    "text",
    [b"", b"{", b"[1", b"<html>", b"[NaN]", b"[Infinity]", b'["\xff"]', b"[" * 100_000],
    ids=lambda text: str(text[:10]),
)
def test_what_is_not_json_is_invalid(text):
    assert parse(text) is INVALID
