import base64
import html
import json
import re
from urllib.parse import quote, quote_plus

import pytest

from source_abandoned_carts.redaction import forms, presentable, reveals

KEYS = ["simple", "a+b/c=d&e%41f@g:h", 'x"y\\z/4', "with spaces too", "ключ€", "<&>'?~"]


@pytest.mark.parametrize("key", KEYS)
def test_a_key_is_recognised_in_each_form(key):
    basic = base64.b64encode(f"{key}:".encode()).decode()
    once = json.dumps(key)[1:-1]
    assert {
        key, quote(key), quote(key, safe=""), quote_plus(key), once, json.dumps(once)[1:-1],
        repr(key)[1:-1], basic, basic.rstrip("="), base64.b64encode(key.encode()).decode(),
    } <= set(forms(key))  # fmt: skip


def base64_of(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


WRAPPINGS = {
    "as it is": lambda key: key,
    "percent-encoded": lambda key: quote(key, safe=""),
    "percent-encoded in small letters": lambda key: re.sub("%..", lower, quote(key, safe="")),
    "percent-encoded twice": lambda key: quote(quote(key, safe=""), safe=""),
    "percent-encoded three times": lambda key: quote(quote(quote(key, safe=""), safe=""), safe=""),
    "percent-encoded in part": lambda key: key.replace("+", "%2B").replace("'", "%27"),
    "as a form": quote_plus,
    "in Base64": base64_of,
    "in Base64 with a login": lambda key: base64_of(f"user:{key}"),
    "in Base64 for a URL": lambda key: base64.urlsafe_b64encode(key.encode()).decode(),
    "in Base64 in lines": lambda key: base64.encodebytes(f"{key * 4}".encode()).decode(),
    "in Base64 in JSON": lambda key: base64_of(key).replace("+", "\\u002B").replace("=", "\\u003d"),
    "in Base64 behind a word": lambda key: f"key{base64_of(key)}",
    "in JSON": json.dumps,
    "in JSON in JSON": lambda key: json.dumps(json.dumps(key)),
    "in JSON by .NET": lambda key: re.sub(r"\W", lambda sign: f"\\u{ord(sign[0]):04X}", key),
    "in HTML": html.escape,
    "in HTML by numbers": lambda key: "".join(f"&#{ord(sign)};" for sign in key),
    "in Python": repr,
}


def lower(code: re.Match[str]) -> str:
    return code[0].lower()


@pytest.mark.parametrize("wrapping", WRAPPINGS)
@pytest.mark.parametrize("key", KEYS)
def test_a_key_is_found_in_a_text_whatever_its_form(key, wrapping):
    assert reveals(f"The key {WRAPPINGS[wrapping](key)} is wrong.", key)


@pytest.mark.parametrize("key", [*KEYS, "", "a", "key"])
def test_a_text_without_the_key_is_not_held_back(key):
    assert not reveals("The key cGFzc3dvcmQ= %41 &amp; \\u0041 was not accepted.", key)


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
        ("jane&#x40;x.com jane&#064;x.com jane&commat;x.com ann＠x.com", "*** *** *** ***"),
        ('to "jane doe"@x.com now', "to *** now"),
        ("right \u202eto\u200b left", "right to left"),
        ("x" * 400, "x" * 300 + "…"),
    ],
)
def test_words_of_a_service_are_made_fit_to_be_shown(said, shown):
    assert presentable(said) == shown
