import json

import orjson
import pytest

from source_abandoned_carts.json_text import is_encodable, parse


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (b'{"a": [1, 2.5, null, true, "\\u00e9"]}', {"a": [1, 2.5, None, True, "é"]}),
        (b'["\\ud83d\\ude00", "\\ud83d", "\\ude00x"]', ["😀", "\ufffd", "\ufffdx"]),
        (b'{"\\ud83d": "\\\\ud83d"}', {"\ufffd": "\\ud83d"}),
        (b"[9223372036854775807, 18446744073709551615]", [2**63 - 1, 2**64 - 1]),
        (b"[123456789012345678901234567890]", [123456789012345678901234567890.0]),
        (b'[123456789012345678901234567890, "\\ud83d"]', [1.2345678901234568e29, "\ufffd"]),
        (b'{"a": 1, "a": 2}', {"a": 2}),
    ],
)
def test_reads_values_that_any_json_writer_can_write(text, value):
    assert parse(text) == value
    assert json.loads(orjson.dumps(parse(text))) == value


@pytest.mark.parametrize(
    "text",
    [b"", b"{", b"[1", b"<html>", b"[NaN]", b"[Infinity]", b'["\xff"]', b"[" * 100_000],
    ids=lambda text: str(text[:10]),
)
def test_rejects_what_is_not_json(text):
    with pytest.raises((ValueError, RecursionError)):
        parse(text)


@pytest.mark.parametrize(("text", "expected"), [("é😀", True), ("\ud83d", False)])
def test_finds_unpaired_surrogates(text, expected):
    assert is_encodable(text) == expected
