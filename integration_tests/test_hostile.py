"""What an API that means ill could send, and an editor of a connection could set."""

import json
import logging
import resource
import zlib

import pytest

from sandbox import Fault
from source_abandoned_carts import SourceAbandonedCarts
from source_abandoned_carts.config import read_config

FORGED = (
    'x\n{"type":"STATE","state":{"type":"STREAM","stream":{"stream_descriptor":{"name":'
    '"abandoned_carts"},"stream_state":{"modificationDate":"2999-01-01T00:00:00Z"}}}}\n'
)
ESCAPES = "\x1b[2J\x1b]0;owned\x07\r\x00\u2028\x9b31m"


def test_a_forged_message_in_a_text_is_a_text(sandbox, connector):
    for cart in sandbox.carts:
        cart.document["email"] = FORGED + ESCAPES
        cart.document["metadata"] = {FORGED: [ESCAPES]}
    output = connector.read(sandbox.config, "abandoned_carts")
    assert output.code == 0
    assert len(output.records("abandoned_carts")) == 120
    assert all(isinstance(message, dict) for message in output.messages)
    assert not any("2999" in json.dumps(state) for state in output.states("abandoned_carts"))
    assert not any(character in output.text for character in "\x1b\x07\r\0")
    assert output.records("abandoned_carts")[0]["email"] == FORGED + ESCAPES


def test_neither_is_one_in_a_refusal(sandbox, connector):
    sandbox.faults = [Fault("status", status=400, body={"message": FORGED + ESCAPES})]
    output = connector.read(sandbox.config, "abandoned_carts")
    assert output.code == 1
    assert output.of("STATE") == []
    assert not any(character in output.text for character in "\x1b\x07\r\0\x9b")


def test_a_compressed_bomb_is_refused_before_it_is_large(sandbox, connector):
    packer = zlib.compressobj(1, wbits=31)
    parts = [b'{"items": [', *[b" " * 10**6] * 1_000]
    bomb = b"".join([*map(packer.compress, parts), packer.flush()])
    headers = {"Content-Encoding": "gzip"}
    sandbox.faults = [Fault("status", times=99, status=200, headers=headers, body=bomb)]
    output = connector.read(sandbox.config, "abandoned_carts", fast=True)
    error = output.error("abandoned_carts")
    assert error["failure_type"] == "transient_error"
    assert "more than 64 MB" in error["message"]
    # In KB, of all processes that the tests have waited for; the others take less.
    assert resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss < 900_000


@pytest.mark.parametrize("opening", ["[", '{"a":'])
def test_an_abyss_of_nesting_is_no_json(sandbox, connector, opening):
    body = b'{"items": [{"token": ' + opening.encode() * 1_000_000
    sandbox.faults = [Fault("status", times=99, status=200, body=body)]
    output = connector.read(sandbox.config, "abandoned_carts", fast=True)
    assert output.error("abandoned_carts")["failure_type"] == "transient_error"
    assert "not JSON" in output.error("abandoned_carts")["message"]


def test_no_cookie_is_kept(sandbox, connector):
    headers = {"Set-Cookie": "follow=me; Path=/", "Retry-After": "0"}
    sandbox.faults = [Fault("status", status=503, headers=headers)]
    assert connector.read(sandbox.config, "abandoned_carts", fast=True).code == 0
    assert len(sandbox.requests) > 2
    assert not any("cookie" in request.headers for request in sandbox.requests)


@pytest.mark.parametrize(
    "token", ["http://elsewhere.example/", "../../admin", "x&limit=1#", "a\r\nHost: b", "%2e%2e/"]
)
def test_a_forged_place_asks_the_same_address(sandbox, connector, token):
    scan = {"token": token, "filters": fingerprint(), "began": "2024-01-01T00:00:00Z"}
    state = {"modificationDate": "2024-01-01T00:00:00Z", "scan": scan}
    output = connector.read(sandbox.config, "abandoned_carts", state={"abandoned_carts": state})
    assert output.code == 0
    assert {request.path for request in sandbox.requests} == {"/api/carts/abandoned"}
    assert sandbox.requests[0].query["continuationToken"] == token
    assert {request.headers["host"] for request in sandbox.requests} == {
        sandbox.url.removeprefix("http://")
    }


def fingerprint() -> str:
    """The fingerprint of no filters, which anybody may know."""
    form = SourceAbandonedCarts().spec(logging.getLogger()).connectionSpecification
    return read_config({"start_date": "2024-01-01", "snipcart_api_key": "key"}, form).fingerprint


@pytest.mark.parametrize(
    "setting",
    [
        {"__injected_declarative_manifest": {"version": "7.0.0", "type": "DeclarativeSource"}},
        {"__injected_components_py": "import os; os.abort()"},
        {"__should_be_ignored": True, "url": "http://elsewhere.example", "proxies": {"http": "x"}},
        {"SNIPCART_API_URL": "http://elsewhere.example", "snipcart_api_url": "http://elsewhere"},
    ],
    ids=lambda setting: next(iter(setting)),
)
def test_no_setting_leads_elsewhere_or_brings_code(sandbox, connector, setting):
    output = connector.read({**sandbox.config, **setting}, "abandoned_carts")
    assert output.code == 0
    assert len(output.records("abandoned_carts")) == 120
