"""Output contains no credentials or customers' data, and nobody can redirect a request."""

import base64
import json
from urllib.parse import quote, quote_plus

import pytest

from tools.sandbox import Fault

from .harness import CARTS, STATS

KEY = 'sk+live/4=2&b%41@shop:x"y\\z k Ω'
REST_KEY = 'rest/k+e=y&%2F@ret:"a\\b c€'
CUSTOMER = "ann.lovelace"
FORGED = (
    'x\n{"type":"STATE","state":{"type":"STREAM","stream":{"stream_descriptor":{"name":'
    '"abandoned_carts"},"stream_state":{"modificationDate":"2999-01-01T00:00:00Z"}}}}\n'
)
ESCAPES = "\x1b[2J\x1b]0;owned\x07\r\x00\u2028\x9b31m"


def encodings(key):
    """Return the encodings of a credential, without the connector's own list."""
    found = {key, quote(key), quote(key, safe=""), quote_plus(key)}
    found.add(base64.b64encode(f"{key}:".encode()).decode())
    return found | {json.dumps(text)[1:-1] for text in found}


def assert_discloses_nothing(text):
    for key in (KEY, REST_KEY):
        assert not [encoding for encoding in encodings(key) if encoding in text]
    assert "sk+live" not in text
    assert CUSTOMER not in text


@pytest.fixture
def private_sandbox(sandbox):
    sandbox.snipcart_key, sandbox.retargeting_key = KEY, REST_KEY
    for cart in sandbox.carts:
        cart.document["email"] = f"{CUSTOMER}@shop.example"
    return sandbox


@pytest.mark.parametrize(
    "fault",
    [
        Fault("status", status=401, body={"message": "KEY"}),
        Fault("status", status=400, body={"errors": {"key": ["KEY"]}}),
        Fault("status", status=302, headers={"Location": "http://x/?KEY"}),
        Fault("status", status=200, headers={"X bad": "KEY"}, body="KEY"),
        Fault("status", status=200, body='{"items": [{"a": "ann.lovelace'),
        Fault("reset"),
    ],
    ids=["refused key", "bad request", "redirect", "malformed header", "damaged", "reset"],
)
def test_failures_disclose_nothing(private_sandbox, connector, fault):
    for service, key in (("snipcart", KEY), ("retargeting", REST_KEY)):
        echo = json.dumps(" ".join(sorted(encodings(key))) + f" {CUSTOMER}@x.y")[1:-1]
        body = json.loads(json.dumps(fault.body).replace("KEY", echo))
        headers = {k: v.replace("KEY", quote(key)) for k, v in fault.headers.items()}
        private_sandbox.faults.append(Fault(fault.kind, service, 99, fault.status, headers, body))
    # The e-mail address is in each URL, but the CDK does not know that it is private.
    config = {**private_sandbox.config, "snipcart_email": f"{CUSTOMER}@shop.example"}
    output = connector.read(config, CARTS, STATS, options=("--debug",))
    assert output.code == 1
    assert_discloses_nothing(output.text)
    checked = connector.run("check", config=config)
    assert checked.status["status"] == "FAILED"
    assert_discloses_nothing(checked.text)


@pytest.mark.parametrize("level", ["--debug", "LOG_LEVEL"])
def test_debug_logs_disclose_nothing(private_sandbox, connector, level):
    connector.environment |= {} if level == "--debug" else {"LOG_LEVEL": "debug"}
    options = (level,) if level == "--debug" else ()
    output = connector.read(private_sandbox.config, CARTS, STATS, options=options)
    assert output.code == 0
    assert len(output.records(CARTS)) == len(private_sandbox.carts)
    assert [log for log in output.logs("DEBUG") if "attempt 1: 200" in log]
    lines = [line for line in output.text.splitlines() if '"type":"RECORD"' not in line]
    assert_discloses_nothing("\n".join(lines))


@pytest.mark.parametrize("change", [{"snipcart_api_key": [KEY]}, {"start_date": KEY}])
def test_refused_settings_are_not_quoted(private_sandbox, connector, change):
    config = {**private_sandbox.config, **change}
    assert_discloses_nothing(connector.run("check", config=config).text)
    assert_discloses_nothing(connector.read(config, STATS).text)


def test_text_cannot_forge_a_message(sandbox, connector):
    for cart in sandbox.carts:
        cart.document["email"] = FORGED + ESCAPES
    output = connector.read(sandbox.config, CARTS)
    assert output.records(CARTS)[0]["email"] == FORGED + ESCAPES
    sandbox.faults = [Fault("status", status=400, body={"message": FORGED + ESCAPES})]
    refused = connector.read(sandbox.config, CARTS)
    assert refused.of("STATE") == []
    for run in (output, refused):
        assert all(isinstance(message, dict) for message in run.messages)
        assert not any(character in run.text for character in "\x1b\x07\r\0")


def test_neither_state_nor_settings_can_redirect_a_request(sandbox, connector):
    (state,) = connector.read(sandbox.config, CARTS).states(CARTS)
    token = "http://elsewhere.example/../../admin?x&limit=1#\r\nHost: b"
    state |= {"scan_token": token, "scan_began": "2024-01-01T00:00:00Z"}
    settings = {
        "__injected_declarative_manifest": {"version": "7.0.0", "type": "DeclarativeSource"},
        "__injected_components_py": "import os; os.abort()",
        "url": "http://elsewhere.example",
        "snipcart_api_url": "http://elsewhere.example",
    }
    sandbox.requests.clear()
    output = connector.read({**sandbox.config, **settings}, CARTS, state={CARTS: state})
    assert output.code == 0
    assert sandbox.requests[0].query["continuationToken"] == token
    hosts = {(request.path, request.headers["host"]) for request in sandbox.requests}
    assert hosts == {("/api/carts/abandoned", sandbox.url.removeprefix("http://"))}


def test_uses_no_netrc_login_and_no_proxy_for_loopback(sandbox, connector, tmp_path):
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login other password secret\n")
    (tmp_path / ".netrc").chmod(0o600)
    connector.environment |= {"HOME": str(tmp_path), "HTTP_PROXY": "http://127.0.0.1:9"}
    assert connector.run("check", config=sandbox.config).status["status"] == "SUCCEEDED"
    assert "authorization" not in sandbox.to("retargeting")[0].headers
