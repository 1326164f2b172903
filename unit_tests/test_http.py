import gzip
import logging
import socket
import threading
import time
from contextlib import suppress

import pytest
import requests
from airbyte_cdk.models import FailureType
from airbyte_cdk.utils.traced_exception import AirbyteTracedException

from source_abandoned_carts import throttle
from source_abandoned_carts.errors import ApiError
from source_abandoned_carts.http import USER_AGENT, Clock, RetryPolicy, base_url

from .helpers import ExampleClient

URL = ExampleClient.default_url
DATE_HEADER = {"Date": "Thu, 01 Jan 2026 00:00:00 GMT"}
MIDNIGHT = 1767225600  # the same date in Unix seconds


def get(only_rate_limits=False, **policy):
    return ExampleClient("s3cret", RetryPolicy(**policy)).get(
        "/x", {"token": "Cart|a+/="}, only_rate_limits
    )


def test_sends_headers_timeouts_and_percent_encoded_parameters(requests_mock):
    requests_mock.get(f"{URL}/x", json={"a": 1})
    assert get()[0] == {"a": 1}
    sent = requests_mock.last_request
    assert sent.url == f"{URL}/x?token=Cart%7Ca%2B%2F%3D"
    assert sent.headers["User-Agent"] == USER_AGENT
    assert sent.headers["Accept"] == "application/json"
    assert sent.timeout == (10, 60)


def test_retries_five_times_with_backoff_and_jitter(requests_mock, waits, caplog):
    caplog.set_level(logging.INFO)
    requests_mock.get(f"{URL}/x", status_code=503)
    with pytest.raises(ApiError, match="6 attempts failed"):
        get()
    for wait, seconds in zip(waits, (1, 2, 4, 8, 16), strict=True):
        assert seconds <= wait <= seconds * 1.25
    assert (
        "Example failed to process the request (HTTP 503 Service Unavailable)" in caplog.messages[0]
    )


@pytest.mark.parametrize("exception", [requests.ConnectionError, requests.ReadTimeout])
def test_retries_after_a_broken_connection(requests_mock, waits, caplog, exception):
    caplog.set_level(logging.INFO)
    requests_mock.get(f"{URL}/x", [{"exc": exception("?key=s3cret")}, {"json": 5}])
    assert get()[0] == 5
    assert len(waits) == 1
    assert "s3cret" not in caplog.text


@pytest.mark.parametrize(
    ("status", "only_rate_limits", "calls"),
    [(400, False, 1), (401, False, 1), (408, True, 1), (500, True, 1), (429, True, 6)],
)
def test_retries_only_transient_errors(requests_mock, waits, status, only_rate_limits, calls):
    requests_mock.get(f"{URL}/x", status_code=status)
    with pytest.raises(ApiError):
        get(only_rate_limits)
    assert (requests_mock.call_count, len(waits)) == (calls, calls - 1)


@pytest.mark.parametrize("status", [429, 503])
def test_waits_for_retry_after_up_to_ten_minutes(requests_mock, waits, status):
    for seconds in ("599", "9999"):
        limit = {"status_code": status, "headers": {"Retry-After": seconds}}
        requests_mock.get(f"{URL}/x", [limit, {"json": 1}])
        get()
    assert waits == [599, 600]


@pytest.mark.parametrize("status", [429, 503])
def test_short_retry_after_does_not_shorten_the_backoff(requests_mock, waits, status):
    requests_mock.get(f"{URL}/x", status_code=status, headers={"Retry-After": "0"})
    with pytest.raises(ApiError):
        get()
    for wait, seconds in zip(waits, (1, 2, 4, 8, 16), strict=True):
        assert seconds <= wait <= seconds * 1.25


@pytest.mark.parametrize(
    ("headers", "clock"),
    [
        (DATE_HEADER, Clock(MIDNIGHT - 4, MIDNIGHT + 1, True, 100)),
        ({}, Clock(MIDNIGHT + 97, MIDNIGHT + 101, False, 100)),
        ({"Date": "today"}, Clock(MIDNIGHT + 97, MIDNIGHT + 101, False, 100)),
    ],
)
def test_returns_the_service_time_or_the_local_time(requests_mock, monkeypatch, headers, clock):
    ticks = iter([100.0])
    monkeypatch.setattr(throttle, "now", lambda: 0)
    monkeypatch.setattr(time, "monotonic", lambda: next(ticks, 103.5))
    monkeypatch.setattr(time, "time", lambda: MIDNIGHT + 100.7)
    requests_mock.get(f"{URL}/x", text="1", headers=headers)
    assert get()[1] == clock


def error_of_body(monkeypatch, start, pieces=(), **policy):
    """Return the error of a request whose response starts at once and continues slowly."""
    is_over = threading.Event()

    def respond():
        with suppress(OSError), server.accept()[0] as connection:
            connection.recv(65536)
            connection.sendall(b"HTTP/1.1 200 OK\r\n" + start)
            for piece in pieces:
                connection.send(piece)
                is_over.wait(0.05)

    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=respond, daemon=True).start()
        monkeypatch.setenv("EXAMPLE_URL", f"http://127.0.0.1:{server.getsockname()[1]}")
        with pytest.raises(ApiError) as raised:
            get(**{"attempts": 1, **policy})
    is_over.set()
    return raised.value


@pytest.mark.parametrize("piece", [b" ", b""])
def test_dripping_or_silent_body_ends_at_the_deadline(monkeypatch, piece):
    """A socket's own timeout restarts with each byte."""
    started = time.monotonic()
    error = error_of_body(monkeypatch, b"\r\n", [piece] * 400, read=0.5, body=0.5)
    assert "did not respond in time" in error.message
    assert 0.5 < time.monotonic() - started < 10  # the whole body would take 20


@pytest.mark.parametrize(
    "response",
    [
        b"Content-Length: 9\r\n\r\n[1",
        b"Transfer-Encoding: chunked\r\n\r\n1\r\n[\r\n",
        b"Content-Encoding: gzip\r\n\r\n[]",
    ],
    ids=["truncated", "truncated chunks", "damaged"],
)
def test_broken_body_is_transient(monkeypatch, response):
    error = error_of_body(monkeypatch, response)
    assert "Example sent an incomplete or damaged response." in error.message
    assert error.failure_type == FailureType.transient_error


def test_too_large_body_is_not_retried(monkeypatch):
    body = gzip.compress(b" " * (64 * 2**20 + 1))
    error = error_of_body(monkeypatch, b"Content-Encoding: gzip\r\n\r\n" + body)
    assert error.message.startswith("Example sent a response above 64 MB. Report this")
    assert error.failure_type == FailureType.system_error


@pytest.mark.parametrize(
    ("address", "url"),
    [
        ("", URL),
        ("https://proxy.example/api/", "https://proxy.example/api"),
        ("http://localhost:1", "http://localhost:1"),
        ("http://[::1]:8000/x", "http://[::1]:8000/x"),
        ("http://127.0.0.1\\@shop.example", "http://127.0.0.1/%5C@shop.example"),
    ],
)
def test_accepts_https_and_http_to_loopback(monkeypatch, address, url):
    monkeypatch.setenv("EXAMPLE_URL", address)
    assert base_url("EXAMPLE_URL", URL) == url


@pytest.mark.parametrize(
    "address",
    [
        "http://shop.example/api",
        "http://127.0.0.1@shop.example/api",
        "http://0.0.0.0:8000",
        "http://127.0.0.1.shop.example",
        "https://user:password@shop.example",
        "https:/api",
        "127.0.0.1:8000",
        "file:///etc/passwd",
        "http://127.0.0.1:port",
    ],
)
def test_refuses_any_other_address(monkeypatch, address):
    monkeypatch.setenv("EXAMPLE_URL", address)
    with pytest.raises(AirbyteTracedException, match="EXAMPLE_URL must be an https") as raised:
        base_url("EXAMPLE_URL", URL)
    assert raised.value.failure_type == FailureType.config_error
