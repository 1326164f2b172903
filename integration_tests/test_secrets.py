"""Keys and customers' data appear in no form in any output of any failure."""

import base64
import html
import json
from urllib.parse import quote, quote_plus

import pytest

from sandbox import Fault, Sandbox

KEY = 'sk+live/4=2&b%41@shop:x"y\\z k Ω'
REST_KEY = 'rest/k+e=y&%2F@ret:"a\\b c€'
CUSTOMER = "ann.lovelace"


def forms(key: str) -> set[str]:
    """Forms of a key that a careless program writes, made here without the program's own list."""
    encoded = {base64.b64encode(text.encode()).decode() for text in (key, f"{key}:", f":{key}")}
    found = {key, quote(key), quote(key, safe=""), quote_plus(key), *encoded}
    found |= {text.rstrip("=") for text in encoded} | {html.escape(key), repr(key)[1:-1]}
    found |= {quote(key, safe="").lower(), quote(quote(key, safe=""), safe="")}
    found |= {base64.urlsafe_b64encode(key.encode()).decode()}
    found |= {json.dumps(text)[1:-1] for text in list(found)}
    return found | {json.dumps(text)[1:-1] for text in list(found)}


def assert_silent(text: str) -> None:
    for key in (KEY, REST_KEY):
        for form in forms(key):
            assert form not in text
        # Nor the letters of a key between which nothing wants escaping.
    assert "sk+live" not in text
    assert "ret:" not in text
    assert CUSTOMER not in text


def echo(key: str) -> str:
    return " ".join(sorted(forms(key)))


@pytest.fixture
def secretive(make_sandbox, lead_to):
    sandbox: Sandbox = make_sandbox(60, snipcart_key=KEY, retargeting_key=REST_KEY)
    for cart in sandbox.carts:
        cart.document["email"] = f"{CUSTOMER}@shop.example"
    return sandbox, lead_to(sandbox)


FAILURES = {
    "refused key": Fault("status", times=99, status=401, body={"message": "KEY"}),
    "other mode": Fault("status", times=99, status=403, body="<p>KEY</p>"),
    "bad request": Fault("status", times=99, status=400, body={"errors": {"key": ["KEY"]}}),
    "server error": Fault("status", times=99, status=500, body="KEY"),
    "redirect": Fault("status", times=99, status=302, headers={"Location": "http://x/?KEY"}),
    "malformed header": Fault("status", times=99, status=200, headers={"X bad": "KEY"}, body="KEY"),
    "reset": Fault("reset", times=99),
    "cut off": Fault("cut", times=99),
    "flawed carts": Fault("status", times=99, status=200, body='{"items": [{"name": "ann.lovelace'),
    "no page": Fault("status", times=99, status=200, body={"message": "KEY", "items": "KEY"}),
}


@pytest.mark.parametrize("name", FAILURES)
@pytest.mark.parametrize("options", [(), ("--debug",)], ids=["plain", "debug"])
def test_no_form_of_a_key_and_no_customer_in_any_output(secretive, name, options):
    sandbox, connector = secretive
    fault = FAILURES[name]

    def with_key(value, key):
        text = json.dumps(value).replace("KEY", json.dumps(echo(key) + f" {CUSTOMER}@x.y")[1:-1])
        return json.loads(text)

    sandbox.faults = []
    for service, key in (("snipcart", KEY), ("retargeting", REST_KEY)):
        headers = {k: quote(key) if v == "KEY" else v for k, v in fault.headers.items()}
        sandbox.faults.append(
            Fault(fault.kind, service, 99, fault.status, headers, with_key(fault.body, key))
        )
    # The filter is in the URL, and of a customer's address no log knows that it is to be hidden.
    config = {**sandbox.config, "snipcart_email": f"{CUSTOMER}@shop.example"}
    output = connector.read(config, "abandoned_carts", "cart_stats", options=options, fast=True)
    assert output.code == 1
    assert_silent(output.text)
    checked = connector.run("check", *options, config=config, fast=True)
    assert checked.status["status"] == "FAILED"
    assert_silent(checked.text)


def test_keys_that_work_are_silent_too(secretive):
    sandbox, connector = secretive
    output = connector.read(sandbox.config, "abandoned_carts", "cart_stats", options=("--debug",))
    assert output.code == 0
    assert len(output.records("abandoned_carts")) == 60
    spoken = [line for line in output.text.splitlines() if '"type":"RECORD"' not in line]
    assert_silent("\n".join(spoken))


def test_the_platforms_debug_level_is_silent_too(secretive):
    sandbox, connector = secretive
    connector.environment["LOG_LEVEL"] = "debug"
    sandbox.faults = [Fault("status", "retargeting", 99, status=400, body=echo(REST_KEY))]
    output = connector.read(sandbox.config, "abandoned_carts", "cart_stats")
    assert output.code == 1
    spoken = [line for line in output.text.splitlines() if '"type":"RECORD"' not in line]
    assert_silent("\n".join(spoken))


@pytest.mark.parametrize(
    "change", [{"snipcart_api_key": [KEY]}, {"snipcart_page_size": KEY}, {"start_date": KEY}]
)
def test_refused_settings_are_not_quoted(secretive, change):
    sandbox, connector = secretive
    config = {**sandbox.config, **change}
    assert_silent(connector.run("check", config=config).text)
    assert_silent(connector.read(config, "cart_stats").text)
    broken = json.dumps(config)[:-1]
    assert_silent(connector.run("check", config=broken).text)
