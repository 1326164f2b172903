import pytest

from source_abandoned_carts.json_text import parse


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (b'["\\ud83d\\ude00", "\\ud83d", "\\ude00x"]', ["😀", "\ufffd", "\ufffdx"]),
        (b'{"\\ud83d": "\\\\ud83d"}', {"\ufffd": "\\ud83d"}),
        (b"[9223372036854775807, 18446744073709551615]", [2**63 - 1, 2**64 - 1]),
        (b'[123456789012345678901234567890, "\\ud83d"]', [1.2345678901234568e29, "\ufffd"]),
        (b'{"a": 1, "a": 2}', {"a": 2}),
    ],
)
def test_parses_values_that_every_json_writer_accepts(text, value):
    assert parse(text) == value


@pytest.mark.parametrize("text", [b"", b"[1", b"<p>", b"[NaN]", b'["\xff"]', b"[" * 100_000])
def test_rejects_invalid_json(text):
    with pytest.raises((ValueError, RecursionError)):
        parse(text)


@pytest.mark.parametrize("number", ["1e400", "-1e400", "9" * 400, "9" * 5_000])
def test_numbers_beyond_floating_point_become_texts(number):
    assert parse(f'[{number}, "\\ud83d"]'.encode()) == [number, "\ufffd"]
