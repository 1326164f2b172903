import base64
import json
from urllib.parse import quote, quote_plus

import pytest

from source_abandoned_carts.redaction import encodings, error_summary

KEYS = ["simple", "a+b/c=d&e%41f@g:h", 'x"y\\z/4', "with spaces too", "ключ€"]

ENCODERS = [
    str,
    quote,
    quote_plus,
    lambda key: quote(key, safe=""),
    lambda key: base64.b64encode(f"{key}:".encode()).decode(),
    lambda key: json.dumps(key)[1:-1],
    lambda key: json.dumps(key, ensure_ascii=False)[1:-1],
]


@pytest.mark.parametrize("encode", ENCODERS)
@pytest.mark.parametrize("key", KEYS)
def test_hides_text_with_a_credential_in_any_encoding(key, encode):
    found = encodings(key)
    assert encode(key) in found
    assert found == sorted(found, key=len, reverse=True)
    assert error_summary(f"The key {encode(key)} is wrong.", key) == ""
    assert error_summary("The key was not accepted.", key) == "The key was not accepted."


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Not found", "Not found"),
        ("  two\n lines\t\x1b[31m ", "two lines [31m"),
        ("right \u202eto\u200b left", "right to left"),
        ("ask ann.o'hara@shop.example now", "ask *** now"),
        ('ask "jane doe"@shop.example now', "ask *** now"),
        ("/carts?email=ann%40shop.example&x=1 is wrong", "*** is wrong"),
        ("x" * 300, "x" * 300),
        ("x" * 1_000_000, "x" * 299 + "…"),
    ],
)
def test_shows_one_short_printable_line_without_addresses(text, shown):
    assert error_summary(text, "key") == shown


def test_shows_no_part_of_an_address_at_the_end_of_a_long_text():
    text = "x" * 2_985 + "@a.b ann.lovelace@shop.example"
    assert error_summary(text, "key") == "***"


def test_shows_nothing_of_a_text_that_is_too_long_to_search():
    assert error_summary("x " * 600_000, "key") == ""
