"""Bad days of the two services: what is tried again, what is told, what stays whole."""

import time
from datetime import datetime, timedelta, timezone
from email.utils import format_datetime

import pytest

from sandbox import Fault

CARTS = "abandoned_carts"
STATS = "cart_stats"
WAITS = [1, 2, 4, 8, 16]
WRONG_KEY = {"status": "error", "message": "Incorrect rest key!"}


def assert_waits(waits: list[float], expected: list[float]) -> None:
    assert len(waits) == len(expected)
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
        Fault("status", status=200, body="[1"),
        Fault("status", status=200, headers={"Content-Encoding": "gzip"}, body="no gzip"),
    ],
    ids=lambda fault: f"{fault.kind}{fault.status}",
)
def test_what_may_pass_is_tried_again(sandbox, connector, fault):
    for service in ("snipcart", "retargeting"):
        sandbox.faults.append(Fault(**{**vars(fault), "service": service}))
    config = {**sandbox.config, "retargeting_window_days": 30}
    output = connector.read(config, CARTS, STATS, fast=True)
    assert output.code == 0
    assert len(output.records(CARTS)) == len(sandbox.carts)
    assert sum(r["abandoned"] for r in output.records(STATS)) == len(sandbox.abandoned)
    assert_waits(output.waits, [1, 1])


@pytest.mark.parametrize("kind", ["status", "reset"])
def test_what_does_not_pass_is_transient_after_six_tries(sandbox, connector, kind):
    sandbox.faults = [Fault(kind, times=99, status=500)]
    output = connector.read(sandbox.config, CARTS, fast=True)
    assert output.code == 1
    assert output.error(CARTS)["failure_type"] == "transient_error"
    assert "Snipcart" in output.error(CARTS)["message"]
    assert len(sandbox.requests) == 6
    assert_waits(output.waits, WAITS)


def test_nothing_listens(sandbox, connector):
    connector.environment["SNIPCART_API_URL"] = "http://127.0.0.1:9/api"
    output = connector.read(sandbox.config, CARTS, STATS, fast=True)
    assert output.error(CARTS)["failure_type"] == "transient_error"
    assert "could not be reached (Connection refused)" in output.error(CARTS)["message"]
    assert sum(r["abandoned"] for r in output.records(STATS)) == len(sandbox.abandoned)
    assert_waits(output.waits, WAITS)


def date_in(seconds: float) -> str:
    return format_datetime(datetime.now(timezone.utc) + timedelta(seconds=seconds), usegmt=True)


@pytest.mark.parametrize(
    ("header", "shortest", "longest"),
    [
        ("7", 7, 7),
        ("0.6", 0.6, 0.6),
        ("86400", 600, 600),
        (lambda: date_in(3600 + 90), 85, 92),
        (lambda: date_in(9 * 3600), 600, 600),
        (lambda: date_in(-9 * 3600), 1, 1.25),
        ("soon", 1, 1.25),
        ("-5", 1, 1.25),
        ("nan", 1, 1.25),
    ],
)
def test_retry_after_is_heeded_up_to_ten_minutes(sandbox, connector, header, shortest, longest):
    sandbox.clock_offset = 3600  # a date is one of the server's clock
    text = header if isinstance(header, str) else header()
    sandbox.faults = [Fault("status", status=429, headers={"Retry-After": text})]
    output = connector.read(sandbox.config, CARTS, fast=True)
    assert output.code == 0
    (wait,) = output.waits
    assert shortest <= wait <= longest


@pytest.mark.parametrize(
    ("status", "failure_type"),
    [
        (401, "config_error"),
        (403, "config_error"),
        (302, "system_error"),
        (400, "system_error"),
        (402, "system_error"),
        (404, "system_error"),
        (422, "system_error"),
    ],
)
def test_what_will_not_change_is_told_at_once(sandbox, connector, status, failure_type):
    body = {"message": "Ask ann.o'hara@shop.example about it", "cart": {"email": "Ann"}}
    for service in ("snipcart", "retargeting"):
        sandbox.faults.append(Fault("status", service, 99, status=status, body=body))
    config = {**sandbox.config, "start_date": date_only()}
    output = connector.read(config, CARTS, STATS)
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


def date_only() -> str:
    return datetime.now(timezone.utc).strftime("%Y-%m-%d")


@pytest.mark.parametrize("failing", ["snipcart", "retargeting"])
def test_one_streams_failure_leaves_the_other_whole(sandbox, connector, failing):
    sandbox.faults = [Fault("status", failing, 99, status=400)]
    output = connector.read(sandbox.config, CARTS, STATS)
    assert output.code == 1
    if failing == "snipcart":
        assert sum(r["abandoned"] for r in output.records(STATS)) == len(sandbox.abandoned)
        assert (output.records(CARTS), output.states(CARTS)) == ([], [])
    else:
        assert len(output.records(CARTS)) == len(sandbox.carts)
        assert (output.records(STATS), output.states(STATS)) == ([], [])
    final = {
        status["stream_descriptor"]["name"]: status["status"]
        for status in (m["trace"].get("stream_status") for m in output.of("TRACE"))
        if status
    }
    bad, good = (CARTS, STATS) if failing == "snipcart" else (STATS, CARTS)
    assert final == {bad: "INCOMPLETE", good: "COMPLETE"}


def test_a_redirect_to_another_host_gets_no_key(sandbox, make_sandbox, connector):
    other = make_sandbox(1)
    location = {"Location": f"{other.url}/api/carts/abandoned"}
    for service in ("snipcart", "retargeting"):
        sandbox.faults.append(Fault("status", service, 99, status=307, headers=location))
    output = connector.read(sandbox.config, CARTS, STATS)
    assert connector.run("check", config=sandbox.config).status["status"] == "FAILED"
    assert {e["failure_type"] for e in output.errors[:2]} == {"system_error"}
    assert other.requests == []


@pytest.mark.parametrize("location", ["http://elsewhere.example/", "http://[::1", "/\xff"])
def test_a_redirect_is_told_in_the_services_own_words(sandbox, connector, location):
    sandbox.faults = [
        Fault("status", "snipcart", 9, 302, {"Location": location}, {"message": "We have moved."}),
        Fault("status", "retargeting", 99, 302, {"Location": location}, WRONG_KEY),
    ]
    output = connector.read(sandbox.config, CARTS, STATS)
    assert output.error(CARTS)["failure_type"] == "system_error"
    assert "We have moved." in output.error(CARTS)["message"]
    assert output.error(STATS)["failure_type"] == "config_error"


def test_a_failure_does_not_wait_for_its_neighbours(sandbox, connector):
    first = "1704067200"
    sandbox.faults = [
        Fault("status", "retargeting", 99, 200, body=WRONG_KEY,
              when=lambda request: request.query["date_from"] == first),
        Fault("status", "retargeting", 99, 429, {"Retry-After": "600"}),
    ]  # fmt: skip
    started = time.monotonic()
    output = connector.read(sandbox.config, STATS)
    assert time.monotonic() - started < 20
    assert output.error(STATS)["failure_type"] == "config_error"


def test_no_login_of_netrc_and_no_proxy_comes_between(sandbox, make_sandbox, connector, tmp_path):
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login other password secret\n")
    (tmp_path / ".netrc").chmod(0o600)
    connector.environment |= {"HOME": str(tmp_path), "HTTP_PROXY": "http://127.0.0.1:9"}
    assert connector.run("check", config=sandbox.config).status["status"] == "SUCCEEDED"
    assert "authorization" not in sandbox.to("retargeting")[0].headers


@pytest.mark.parametrize(
    ("service", "change", "words"),
    [
        ("Snipcart", {"snipcart_key": "another"}, "secret API key was not accepted"),
        ("Retargeting", {"retargeting_key": "another"}, "Incorrect rest key!"),
        ("Retargeting", {"account_active": False}, "not active"),
    ],
)
def test_check_says_which_service_what_it_said_and_what_to_do(
    sandbox, connector, service, change, words
):
    config = sandbox.config
    for name, value in change.items():
        setattr(sandbox, name, value)
    output = connector.run("check", config=config)
    assert output.code == 0
    assert output.status["status"] == "FAILED"
    assert service in output.status["message"]
    assert words in output.status["message"]
    assert ("Retargeting" if service == "Snipcart" else "Snipcart") not in (
        output.status["message"]
    )


@pytest.mark.parametrize(
    "fault",
    [
        Fault("status", times=99, status=503, headers={"Retry-After": "300"}),
        Fault("slow", times=99, seconds=25),
        Fault("drip", times=99, seconds=0.2),
        Fault("status", times=99, status=400, body={"message": "a" * 3_000_000}),
        Fault("status", times=99, status=500, body="<" * 3_000_000),
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


def test_check_tries_a_second_time(sandbox, connector):
    sandbox.faults = [Fault("reset"), Fault("status", "retargeting", status=502)]
    assert connector.run("check", config=sandbox.config).status["status"] == "SUCCEEDED"
