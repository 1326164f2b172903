import base64
import json
import re
from urllib.parse import quote, quote_plus

import pytest

from source_abandoned_carts.redaction import forms, presentable

KEYS = ["simple", "a+b/c=d&e%f@g:h", 'x"y\\z', "with spaces too", "ключ€", "<&>'"]


@pytest.mark.parametrize("key", KEYS)
def test_a_key_is_recognised_in_each_form(key):
    basic = base64.b64encode(f"{key}:".encode()).decode()
    small = re.sub("%..", lambda code: code[0].lower(), quote(key, safe=""))
    once = json.dumps(key)[1:-1]
    assert {
        key, quote(key), quote(key, safe=""), quote_plus(key), small, once,
        json.dumps(once)[1:-1], repr(key)[1:-1], basic, basic.rstrip("="), quote(basic, safe=""),
        base64.b64encode(key.encode()).decode(),
    } <= set(forms(key))  # fmt: skip


@pytest.mark.parametrize("key", KEYS)
def test_the_longest_form_comes_first(key):
    lengths = [len(form) for form in forms(key)]
    assert lengths == sorted(lengths, reverse=True)
    assert "" not in forms(key)


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("Not found", "Not found"),
        ("  two\n lines\t\x1b[31m ", "two lines [31m"),
        ("ask ann.o'hara@shop.example now", "ask *** now"),
        ("/carts?email=ann%40shop.example&x=1 is wrong", "*** is wrong"),
        ("<b>ann@shop.example</b>", "<b>***</b>"),
        ("right\u202eto left", "right to left"),
        ("x" * 400, "x" * 300 + "…"),
    ],
)
def test_words_of_a_service_are_made_fit_to_be_shown(said, shown):
    assert presentable(said) == shown
