import time
from typing import NamedTuple

import pytest
from airbyte_cdk.models import FailureType

from source_abandoned_carts import responses
from source_abandoned_carts.errors import ApiError
from source_abandoned_carts.http import RetryPolicy
from source_abandoned_carts.retargeting import Retargeting

from .helpers import ExampleClient, make_config


class Failure(NamedTuple):
    failure_type: str
    message: str
    wait: float | None = None


EXAMPLE = ExampleClient("s3cret/key", RetryPolicy())
STATS = Retargeting(make_config(), RetryPolicy())
NOT_JSON = "Example sent a response that is not JSON (HTTP 200 OK)."
TOO_DEEP = "Example sent JSON that is nested too deeply (HTTP 200 OK). Report this"
DEEP_SURROGATE = '["\\ud83d",' + "[" * 1_100 + "]" * 1_101
WRONG_KEY = '{"status": "error", "message": "Incorrect rest key!"}'
INACTIVE = '{"status": "error", "data": "Your account is not active!"}'
WENT_WRONG = '{"status": "error", "message": "Something went wrong"}'
TOO_LONG = '{"status": "error", "message": "Interval is greater than 30 days"}'


@pytest.mark.parametrize(
    ("service", "status", "headers", "body", "expected"),
    [
        (EXAMPLE, 200, {}, '{"a": [1, 2.5]}', {"a": [1, 2.5]}),
        (EXAMPLE, 200, {}, "", Failure("transient_error", NOT_JSON)),
        (EXAMPLE, 200, {}, "[" * 1_100 + "]" * 1_100, Failure("system_error", TOO_DEEP)),
        (EXAMPLE, 200, {}, DEEP_SURROGATE, Failure("system_error", TOO_DEEP)),
        (EXAMPLE, 503, {}, "[" * 100_000, Failure("transient_error", "failed to process")),
        (
            EXAMPLE,
            301,
            {},
            "",
            Failure("system_error", "redirected the request (HTTP 301 Moved Permanently)"),
        ),
        (
            EXAMPLE,
            400,
            {},
            "",
            Failure("system_error", "did not accept the request (HTTP 400 Bad Request)"),
        ),
        (EXAMPLE, 404, {}, "<p>Ann</p>", Failure("system_error", "(HTTP 404 Not Found). Check")),
        (EXAMPLE, 400, {}, '{"message": "a@b.c"}', Failure("system_error", "Request: “***”)")),
        (EXAMPLE, 400, {}, '{"error": "s3cret%2fkey"}', Failure("system_error", "Request). Check")),
        (EXAMPLE, 401, {}, "", Failure("config_error", "(HTTP 401 Unauthorized). Copy the key")),
        (EXAMPLE, 403, {}, "[]", Failure("config_error", "(HTTP 403 Forbidden). Look at the")),
        (EXAMPLE, 408, {}, "", Failure("transient_error", "Example failed to process the request")),
        (EXAMPLE, 429, {"Retry-After": "7"}, "", Failure("transient_error", "limits the rate", 7)),
        (EXAMPLE, 599, {}, "", Failure("transient_error", "process the request (HTTP 599)")),
        (STATS, 200, {}, '{"status": "success"}', {"status": "success"}),
        (STATS, 404, {}, '{"status": "success"}', Failure("system_error", "(HTTP 404 Not Found)")),
        (STATS, 200, {}, '{"status": "OK"}', Failure("system_error", "did not accept the request")),
        (STATS, 200, {}, WRONG_KEY, Failure("config_error", "rest key!”). Copy the REST API key")),
        (STATS, 500, {}, WRONG_KEY, Failure("config_error", "rest key!”). Copy the REST API key")),
        (STATS, 429, {}, INACTIVE, Failure("config_error", "active!”). Reactivate the account")),
        (STATS, 400, {}, WENT_WRONG, Failure("transient_error", "Retargeting failed to process")),
        (STATS, 401, {}, WENT_WRONG, Failure("config_error", "Copy the REST API key again")),
        (STATS, 200, {}, TOO_LONG, Failure("system_error", "“Interval is greater than 30 days”")),
        (STATS, 429, {}, TOO_LONG, Failure("transient_error", "of requests (HTTP 429")),
    ],
)
def test_returns_json_or_raises_an_api_error(service, status, headers, body, expected):
    if not isinstance(expected, Failure):
        assert responses.parse(service, status, headers, body.encode()) == expected
        return
    with pytest.raises(ApiError) as raised:
        responses.parse(service, status, headers, body.encode())
    error = raised.value
    assert (error.failure_type, error.status) == (FailureType(expected.failure_type), status)
    assert error.wait == expected.wait
    assert expected.message in error.message
    assert "Ann" not in error.message


@pytest.mark.parametrize(
    ("content", "texts"),
    [
        ({"message": "a", "error": "b", "cart": {"name": "Ann"}, "description": "Ann"}, ["a", "b"]),
        ({"errors": {"limit": ["a", "b"], "email": "c"}}, ["a", "b", "c"]),
        ({"errors": [{"code": "E1", "message": "a", "value": "Ann"}, "b"]}, ["a", "b"]),
        ({"data": "a"}, ["a"]),
        ({"data": {"validator": {"date_from": ["a"]}, "email": "Ann"}}, ["a"]),
        ({"errors": {"address": {"fullName": "Ann"}}, "message": {"to": "Ann"}}, []),
        ({"errors": [["Ann"], 5, None], "data": ["Ann"]}, []),
        (None, []),
    ],
)
def test_quotes_documented_fields_only(content, texts):
    assert responses.error_texts(content) == texts


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("Thu, 01 Jan 2026 00:00:00 GMT", 1767225600),
        ("Thu Jan  1 00:00:00 2026", 1767225600),
        ("Thu, 01 Jan 1970 00:00:00 GMT", None),
        ("today", None),
        (None, None),
    ],
)
def test_reads_an_http_date_as_utc(monkeypatch, text, seconds):
    monkeypatch.setenv("TZ", "America/New_York")
    time.tzset()
    assert responses.http_date(text) == seconds
    monkeypatch.undo()
    time.tzset()


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("7", 7),
        ("0", 0),
        ("9" * 400, float("inf")),
        ("Thu, 01 Jan 2026 00:01:30 GMT", 90),
        ("Wed, 31 Dec 2025 23:59:59 GMT", None),
        ("-1", None),
    ],
)
def test_reads_retry_after_with_or_without_a_date_header(monkeypatch, text, seconds):
    headers = {"Retry-After": text, "Date": "Thu, 01 Jan 2026 00:00:00 GMT"}
    assert responses.retry_after(headers) == seconds
    monkeypatch.setattr(time, "time", lambda: 1767225600.0)
    assert responses.retry_after({"Retry-After": text}) == seconds


def test_error_of_a_service_is_not_taken_for_a_body_that_is_not_json(monkeypatch):
    """ValueError is a broad class: one from other code is a defect, and must be seen as one."""

    def broken(self, status, content):
        raise ValueError("a defect")

    monkeypatch.setattr(Retargeting, "effective_status", broken)
    with pytest.raises(ValueError, match="a defect"):
        responses.parse(STATS, 200, {}, b"{}")
