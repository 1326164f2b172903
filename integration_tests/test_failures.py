"""Failures of the two services: retries, error messages, and the data that is still read."""

import time
from datetime import datetime, timezone

import pytest

from tools.sandbox import Fault

from .harness import CARTS, STATS

WRONG_KEY = {"status": "error", "message": "Incorrect rest key!"}


def assert_waits(waits, expected):
    for wait, seconds in zip(sorted(waits), expected, strict=True):
        assert seconds * 0.99 <= wait <= seconds * 1.25  # a shared wait began a moment ago


def test_retries_transient_failures(sandbox, connector):
    sandbox.faults = [
        fault
        for service in ("snipcart", "retargeting")
        for fault in (
            Fault("status", service, status=503, body="<h1>Service Unavailable</h1>"),
            Fault("reset", service),
            Fault("cut", service),
            Fault("html", service),
            Fault("status", service, status=429, headers={"Retry-After": "70"}),
        )
    ]
    output = connector.read(sandbox.config, CARTS, STATS)
    assert output.code == 0
    assert len(output.records(CARTS)) == len(sandbox.carts)
    assert sum(r["abandoned"] for r in output.records(STATS)) == len(sandbox.abandoned)
    assert_waits(output.waits, [1, 1, 2, 2, 4, 4, 8, 8, 70, 70])


def test_gives_up_after_six_attempts_and_names_the_reason(sandbox, connector):
    connector.environment["SNIPCART_API_URL"] = "http://127.0.0.1:9/api"  # nothing listens there
    output = connector.read(sandbox.config, CARTS)
    assert output.code == 1
    assert output.error(CARTS)["failure_type"] == "transient_error"
    assert "Snipcart could not be reached (Connection refused)" in output.error(CARTS)["message"]
    assert_waits(output.waits, [1, 2, 4, 8, 16])


@pytest.mark.parametrize(("status", "failure_type"), [(401, "config_error"), (422, "system_error")])
def test_reports_permanent_errors_at_once(sandbox, connector, status, failure_type):
    body = {"message": "Ask ann.o'hara@shop.example about it", "cart": {"email": "Ann"}}
    for service in ("snipcart", "retargeting"):
        sandbox.faults.append(Fault("status", service, 99, status=status, body=body))
    today = datetime.now(timezone.utc).strftime("%Y-%m-%d")
    output = connector.read({**sandbox.config, "start_date": today}, CARTS, STATS)
    assert output.code == 1
    assert sorted(request.service for request in sandbox.requests) == ["retargeting", "snipcart"]
    for stream, service in ((CARTS, "Snipcart"), (STATS, "Retargeting")):
        error = output.error(stream)
        assert error["failure_type"] == failure_type
        assert error["message"].startswith(service)
        assert str(status) in error["message"]
        assert "Ask *** about it" in error["message"]
    assert "shop.example" not in output.text
    assert "Ann" not in output.text


@pytest.mark.parametrize(("failing", "other"), [(CARTS, STATS), (STATS, CARTS)])
def test_failing_stream_leaves_the_other_complete(sandbox, connector, failing, other):
    sandbox.faults = [Fault("status", "snipcart" if failing == CARTS else "retargeting", 99, 400)]
    output = connector.read(sandbox.config, CARTS, STATS)
    assert output.code == 1
    if other == CARTS:
        assert len(output.records(CARTS)) == len(sandbox.carts)
    else:
        assert sum(r["abandoned"] for r in output.records(STATS)) == len(sandbox.abandoned)
    assert (output.records(failing), output.states(failing)) == ([], [])
    assert output.statuses(failing)[-1] == "INCOMPLETE"
    assert output.statuses(other)[-1] == "COMPLETE"


def test_follows_no_redirect(sandbox, make_sandbox, connector):
    other = make_sandbox(1)
    headers = {"Location": f"{other.url}/api/carts/abandoned"}
    sandbox.faults = [
        Fault("status", "snipcart", 99, 307, headers, {"message": "We have moved."}),
        Fault("status", "retargeting", 99, 302, headers, WRONG_KEY),
    ]
    output = connector.read(sandbox.config, CARTS, STATS)
    assert output.error(CARTS)["failure_type"] == "system_error"
    assert "We have moved." in output.error(CARTS)["message"]
    assert output.error(STATS)["failure_type"] == "config_error"
    assert other.requests == []


def test_failure_does_not_wait_for_other_requests(sandbox, connector):
    wrong_key = Fault("status", "retargeting", 99, 200, body=WRONG_KEY)
    wrong_key.when = lambda request: request.query["date_from"] == "1706659200"
    limit = Fault("status", "retargeting", 99, 429, {"Retry-After": "600"})
    limit.when = lambda request: request.query["date_from"] > "1706659200"
    sandbox.faults = [wrong_key, limit]
    output = connector.read(sandbox.config, STATS)
    assert output.error(STATS)["failure_type"] == "config_error"
    assert len(output.waits) < 20  # the seven other requests would sleep 35 times


def test_certificates_that_cannot_be_read_fail_at_once_and_say_what_to_do(sandbox, connector):
    address = sandbox.environment["SNIPCART_API_URL"].replace(
        "http://127.0.0.1", "https://localhost"
    )
    connector.environment |= {"SNIPCART_API_URL": address, "REQUESTS_CA_BUNDLE": "/nowhere"}
    status = connector.run("check", config=sandbox.config).status
    assert status["message"].startswith("Snipcart could not be reached: the file of trusted")
    output = connector.read(sandbox.config, CARTS)
    assert output.error(CARTS)["failure_type"] == "system_error"
    assert "REQUESTS_CA_BUNDLE" in output.error(CARTS)["message"]
    assert output.waits == []


def test_check_names_the_service_and_the_reason(sandbox, connector):
    config = sandbox.config
    sandbox.account_active = False
    status = connector.run("check", config=config).status
    assert status["status"] == "FAILED"
    assert "not active" in status["message"]
    assert "Snipcart" not in status["message"]
    sandbox.snipcart_key, sandbox.account_active = "another", True
    output = connector.run("check", config=config)
    assert (output.code, output.status["status"]) == (0, "FAILED")
    assert output.status["message"].startswith("Snipcart refused the request (HTTP 401")
    assert "Retargeting" not in output.status["message"]


def test_check_retries_once_and_ends_within_30_seconds(sandbox, connector):
    sandbox.faults = [Fault("reset"), Fault("status", "retargeting", status=502)]
    assert connector.run("check", config=sandbox.config).status["status"] == "SUCCEEDED"
    sandbox.faults = [
        Fault("drip", times=99, seconds=0.2),
        Fault("slow", "retargeting", times=99, seconds=25),
    ]
    started = time.monotonic()
    output = connector.run("check", config=sandbox.config)
    assert time.monotonic() - started < 30
    assert output.status["status"] == "FAILED"
    for service in ("Snipcart", "Retargeting"):
        assert f"{service} did not respond" in output.status["message"]
