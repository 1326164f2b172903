"""Bad days of the two services: what is retried, what a person is told, what stays whole."""

import time
from datetime import datetime, timezone

import pytest

from sandbox import Fault

CARTS = "abandoned_carts"
STATS = "cart_stats"
WRONG_KEY = {"status": "error", "message": "Incorrect rest key!"}


def assert_waits(waits: list[float], expected: list[float]) -> None:
    for wait, seconds in zip(waits, expected, strict=True):
        assert seconds <= wait <= seconds * 1.25


@pytest.mark.parametrize(
    "fault",
    [
        Fault("status", status=408),
        Fault("status", status=429),
        Fault("status", status=503, body="<html><h1>Service Unavailable</h1></html>"),
        Fault("reset"),
        Fault("cut"),
        Fault("html"),
        Fault("status", status=200, headers={"Content-Encoding": "gzip"}, body="no gzip"),
    ],
    ids=lambda fault: f"{fault.kind}{fault.status}",
)
def test_retries_what_may_pass(sandbox, connector, fault):
    for service in ("snipcart", "retargeting"):
        sandbox.faults.append(Fault(**{**vars(fault), "service": service}))
    output = connector.read(sandbox.config, CARTS, STATS, fast=True)
    assert output.code == 0
    assert len(output.records(CARTS)) == len(sandbox.carts)
    assert sum(r["abandoned"] for r in output.records(STATS)) == len(sandbox.abandoned)
    assert_waits(output.waits, [1, 1])


@pytest.mark.parametrize("kind", ["status", "reset"])
def test_gives_up_after_six_attempts(sandbox, connector, kind):
    sandbox.faults = [Fault(kind, times=99, status=500)]
    output = connector.read(sandbox.config, CARTS, fast=True)
    assert output.code == 1
    assert output.error(CARTS)["failure_type"] == "transient_error"
    assert "Snipcart" in output.error(CARTS)["message"]
    assert len(sandbox.requests) == 6
    assert_waits(output.waits, [1, 2, 4, 8, 16])


def test_names_the_reason_when_nothing_listens(sandbox, connector):
    connector.environment["SNIPCART_API_URL"] = "http://127.0.0.1:9/api"
    output = connector.read(sandbox.config, CARTS, STATS, fast=True)
    assert output.error(CARTS)["failure_type"] == "transient_error"
    assert "could not be reached (Connection refused)" in output.error(CARTS)["message"]
    assert sum(r["abandoned"] for r in output.records(STATS)) == len(sandbox.abandoned)


@pytest.mark.parametrize(("header", "seconds"), [("7", 7), ("86400", 600)])
def test_waits_as_long_as_retry_after_says(sandbox, connector, header, seconds):
    sandbox.faults = [Fault("status", status=429, headers={"Retry-After": header})]
    output = connector.read(sandbox.config, CARTS, fast=True)
    assert (output.code, output.waits) == (0, [seconds])


@pytest.mark.parametrize(
    ("status", "failure_type"),
    [
        (401, "config_error"),
        (403, "config_error"),
        (302, "system_error"),
        (404, "system_error"),
        (422, "system_error"),
    ],
)
def test_reports_what_will_not_change_at_once(sandbox, connector, status, failure_type):
    body = {"message": "Ask ann.o'hara@shop.example about it", "cart": {"email": "Ann"}}
    for service in ("snipcart", "retargeting"):
        sandbox.faults.append(Fault("status", service, 99, status=status, body=body))
    today = datetime.now(timezone.utc).strftime("%Y-%m-%d")
    output = connector.read({**sandbox.config, "start_date": today}, CARTS, STATS)
    assert output.code == 1
    assert (len(sandbox.to("snipcart")), len(sandbox.to("retargeting"))) == (1, 1)
    for stream, service in ((CARTS, "Snipcart"), (STATS, "Retargeting")):
        error = output.error(stream)
        assert error["failure_type"] == failure_type
        assert error["message"].startswith(service)
        assert str(status) in error["message"]
        assert "Ask *** about it" in error["message"]
    assert "shop.example" not in output.text
    assert "Ann" not in output.text


@pytest.mark.parametrize("failing", ["snipcart", "retargeting"])
def test_one_streams_failure_leaves_the_other_whole(sandbox, connector, failing):
    sandbox.faults = [Fault("status", failing, 99, status=400)]
    output = connector.read(sandbox.config, CARTS, STATS)
    assert output.code == 1
    bad, good = (CARTS, STATS) if failing == "snipcart" else (STATS, CARTS)
    if failing == "snipcart":
        assert sum(r["abandoned"] for r in output.records(STATS)) == len(sandbox.abandoned)
    else:
        assert len(output.records(CARTS)) == len(sandbox.carts)
    assert (output.records(bad), output.states(bad)) == ([], [])
    final = {
        status["stream_descriptor"]["name"]: status["status"]
        for status in (m["trace"].get("stream_status") for m in output.of("TRACE"))
        if status
    }
    assert final == {bad: "INCOMPLETE", good: "COMPLETE"}


@pytest.mark.parametrize("location", ["other", "http://[::1", "/\xff"])
def test_follows_no_redirect(sandbox, make_sandbox, connector, location):
    other = make_sandbox(1)
    location = f"{other.url}/api/carts/abandoned" if location == "other" else location
    headers = {"Location": location}
    sandbox.faults = [
        Fault("status", "snipcart", 99, 307, headers, {"message": "We have moved."}),
        Fault("status", "retargeting", 99, 302, headers, WRONG_KEY),
    ]
    output = connector.read(sandbox.config, CARTS, STATS)
    assert output.error(CARTS)["failure_type"] == "system_error"
    assert "We have moved." in output.error(CARTS)["message"]
    assert output.error(STATS)["failure_type"] == "config_error"
    assert connector.run("check", config=sandbox.config).status["status"] == "FAILED"
    assert other.requests == []


def test_failure_does_not_wait_for_other_requests(sandbox, connector):
    sandbox.faults = [
        Fault("status", "retargeting", 99, 200, body=WRONG_KEY,
              when=lambda request: request.query["date_from"] == "1706659200"),
        Fault("status", "retargeting", 99, 429, {"Retry-After": "600"},
              when=lambda request: request.query["date_from"] > "1706659200"),
    ]  # fmt: skip
    started = time.monotonic()
    output = connector.read(sandbox.config, STATS)
    assert time.monotonic() - started < 20
    assert output.error(STATS)["failure_type"] == "config_error"


@pytest.mark.parametrize(
    ("service", "change", "words"),
    [
        ("Snipcart", {"snipcart_key": "another"}, "HTTP 401"),
        ("Retargeting", {"retargeting_key": "another"}, "Incorrect rest key!"),
        ("Retargeting", {"account_active": False}, "not active"),
    ],
)
def test_check_names_the_service_and_the_reason(sandbox, connector, service, change, words):
    config = sandbox.config
    for name, value in change.items():
        setattr(sandbox, name, value)
    output = connector.run("check", config=config)
    assert output.code == 0
    assert output.status["status"] == "FAILED"
    assert words in output.status["message"]
    other = "Retargeting" if service == "Snipcart" else "Snipcart"
    assert service in output.status["message"]
    assert other not in output.status["message"]


@pytest.mark.parametrize(
    "fault",
    [
        Fault("status", times=99, status=503, headers={"Retry-After": "300"}),
        Fault("slow", times=99, seconds=25),
        Fault("drip", times=99, seconds=0.2),
    ],
    ids=lambda fault: f"{fault.kind}{fault.status}",
)
def test_check_answers_within_30_seconds(sandbox, connector, fault):
    for service in ("snipcart", "retargeting"):
        sandbox.faults.append(Fault(**{**vars(fault), "service": service}))
    started = time.monotonic()
    output = connector.run("check", config=sandbox.config)
    assert time.monotonic() - started < 30
    assert output.status["status"] == "FAILED"
    for service in ("Snipcart", "Retargeting"):
        assert service in output.status["message"]
    assert len(sandbox.to("snipcart")) <= 2


def test_check_retries_once(sandbox, connector):
    sandbox.faults = [Fault("reset"), Fault("status", "retargeting", status=502)]
    assert connector.run("check", config=sandbox.config).status["status"] == "SUCCEEDED"
