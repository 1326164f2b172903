import pytest

from source_abandoned_carts.json_text import is_encodable, parse


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
def test_reads_values_that_any_json_writer_can_write(text, value):
    assert parse(text) == value


@pytest.mark.parametrize("text", [b"", b"[1", b"<p>", b"[NaN]", b'["\xff"]', b"[" * 100_000])
def test_rejects_what_is_not_json(text):
    with pytest.raises((ValueError, RecursionError)):
        parse(text)


def test_finds_unpaired_surrogates():
    assert is_encodable("é😀")
    assert not is_encodable("\ud83d")
