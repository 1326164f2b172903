import logging
import socket
import threading
import time
from contextlib import suppress

import pytest
import requests
from airbyte_cdk.models import FailureType
from airbyte_cdk.utils.airbyte_secrets_utils import update_secrets

from source_abandoned_carts import http
from source_abandoned_carts.http import (
    USER_AGENT,
    Answer,
    ApiError,
    BasicAuth,
    NoAuth,
    Patience,
    Problem,
    Service,
    base_url,
)
from source_abandoned_carts.json_text import parse
from source_abandoned_carts.redaction import forms

URL = "https://api.example/v1"
KEY = "sk+live/4=<x>'2"
ADVICE = {401: "Copy the key again.", 403: "Look at the account."}


def service(refusal=None, **patience) -> Service:
    return Service(
        "Shop",
        URL,
        auth=NoAuth(),
        advice=ADVICE,
        secret=KEY,
        patience=Patience(**patience),
        refusal=refusal,
    )


@pytest.fixture
def waits(monkeypatch) -> list[float]:
    slept: list[float] = []
    monkeypatch.setattr(time, "sleep", slept.append)
    return slept


def failure(requests_mock, waits, *answers, **options) -> ApiError:
    requests_mock.get(f"{URL}/x", list(answers))
    with pytest.raises(ApiError) as raised:
        service(**options).get("/x", {})
    return raised.value


class TestRequests:
    def test_it_names_itself_and_asks_for_json(self, requests_mock):
        requests_mock.get(f"{URL}/x", json={"a": 1})
        answer = service().get("/x", {"token": "Cart|a+/="})
        assert answer.body == {"a": 1}
        sent = requests_mock.last_request
        assert sent.headers["User-Agent"] == USER_AGENT
        assert sent.headers["Accept"] == "application/json"
        assert sent.url == f"{URL}/x?token=Cart%7Ca%2B%2F%3D"
        assert sent.timeout == (10, 60)

    def test_no_login_is_taken_from_netrc(self, requests_mock, monkeypatch, tmp_path):
        netrc = tmp_path / "netrc"
        netrc.write_text("machine api.example login somebody password else\n")
        monkeypatch.setenv("NETRC", str(netrc))
        requests_mock.get(f"{URL}/x", json=1)
        service().get("/x", {})
        assert "Authorization" not in requests_mock.last_request.headers

    def test_a_key_is_sent_as_utf_8(self):
        request = BasicAuth("clé")(requests.Request("GET", URL).prepare())
        assert request.headers["Authorization"] == "Basic Y2zDqTo="


class TestTries:
    @pytest.mark.parametrize("status", [408, 429, 500, 502, 599])
    def test_what_may_pass_is_tried_six_times(self, requests_mock, waits, status):
        error = failure(requests_mock, waits, {"status_code": status})
        assert error.failure_type == FailureType.transient_error
        assert "tried 6 times" in error.message
        assert len(waits) == 5
        for wait, seconds in zip(waits, (1, 2, 4, 8, 16), strict=True):
            assert seconds <= wait <= seconds * 1.25

    @pytest.mark.parametrize(
        "exception",
        [
            requests.ConnectionError,
            requests.ConnectTimeout,
            requests.ReadTimeout,
            requests.exceptions.SSLError,
            requests.exceptions.ProxyError,
            requests.exceptions.ChunkedEncodingError,
            requests.exceptions.ContentDecodingError,
        ],
    )
    def test_so_are_broken_connections(self, requests_mock, waits, exception):
        requests_mock.get(f"{URL}/x", [{"exc": exception("?key=secret")}, {"json": 5}])
        assert service().get("/x", {}).body == 5
        assert len(waits) == 1

    @pytest.mark.parametrize(
        ("status", "failure_type"),
        [
            (401, FailureType.config_error),
            (403, FailureType.config_error),
            (301, FailureType.system_error),
            (304, FailureType.system_error),
            (400, FailureType.system_error),
            (402, FailureType.system_error),
            (404, FailureType.system_error),
            (422, FailureType.system_error),
            (600, FailureType.system_error),
        ],
    )
    def test_what_will_not_change_is_not(self, requests_mock, waits, status, failure_type):
        error = failure(requests_mock, waits, {"status_code": status, "text": "because"})
        assert (error.failure_type, error.status, waits) == (failure_type, status, [])
        assert f"HTTP {status}" in error.message
        assert "“because”" in error.message

    def test_advice_is_given(self, requests_mock, waits):
        assert "Copy the key again." in failure(requests_mock, waits, {"status_code": 401}).message
        assert "Look at the account." in failure(requests_mock, waits, {"status_code": 403}).message

    @pytest.mark.parametrize("text", ["", "<html>", '{"a":', "NaN"])
    def test_a_good_status_without_json_may_pass(self, requests_mock, waits, text):
        requests_mock.get(f"{URL}/x", [{"text": text}, {"json": []}])
        assert service().get("/x", {}).body == []

    def test_patience_may_be_shorter(self, requests_mock, waits):
        answer = {"status_code": 503, "headers": {"Retry-After": "300"}}
        failure(requests_mock, waits, answer, tries=2, longest_retry_after=2)
        assert waits == [2]

    def test_a_refusal_in_the_body_comes_before_the_status(self, requests_mock, waits):
        problem = Problem("No.", FailureType.config_error)
        error = failure(requests_mock, waits, {"status_code": 500}, refusal=lambda answer: problem)
        assert (error.message, error.failure_type, waits) == ("No.", problem.failure_type, [])

    def test_what_is_waited_for_is_told(self, requests_mock, waits, caplog):
        caplog.set_level(logging.INFO)
        failure(requests_mock, waits, {"status_code": 503})
        assert len(caplog.messages) == 5
        assert "Shop could not answer (HTTP 503 Service Unavailable)" in caplog.messages[0]


class TestRetryAfter:
    @pytest.mark.parametrize(
        ("header", "seconds"),
        [
            ("7", 7),
            ("0", 0),
            ("1.5", 1.5),
            ("601", 600),
            ("9" * 50, 600),
            ("Thu, 01 Jan 2026 00:01:30 GMT", 90),
            ("Thu, 01 Jan 2026 09:00:00 GMT", 600),
        ],
    )
    def test_it_is_heeded_by_the_servers_clock(self, requests_mock, waits, header, seconds):
        headers = {"Retry-After": header, "Date": "Thu, 01 Jan 2026 00:00:00 GMT"}
        requests_mock.get(f"{URL}/x", [{"status_code": 429, "headers": headers}, {"json": 1}])
        service().get("/x", {})
        assert waits == [seconds]

    @pytest.mark.parametrize(
        "header", ["", "soon", "-1", "nan", "inf", "1e3", "Wed, 31 Dec 2025 23:59:59 GMT"]
    )
    def test_what_makes_no_sense_is_not_heeded(self, requests_mock, waits, header):
        headers = {"Retry-After": header, "Date": "Thu, 01 Jan 2026 00:00:00 GMT"}
        requests_mock.get(f"{URL}/x", [{"status_code": 429, "headers": headers}, {"json": 1}])
        service().get("/x", {})
        assert 1 <= waits[0] <= 1.25


class TestClock:
    def test_it_is_the_servers_where_it_tells_the_time(self, requests_mock):
        headers = {"Date": "Thu, 01 Jan 2026 00:00:00 GMT"}
        requests_mock.get(f"{URL}/x", json=1, headers=headers)
        answer = service().get("/x", {})
        assert 1767225600 - 2 <= answer.asked_at <= 1767225600 < answer.answered_at

    @pytest.mark.parametrize(
        "date", ["Thu Jan  1 00:00:00 2026", "Thu, 01 Jan 2026 00:00:00 -0000"]
    )
    def test_a_date_without_a_zone_is_utc(self, requests_mock, monkeypatch, date):
        monkeypatch.setenv("TZ", "America/New_York")
        time.tzset()
        requests_mock.get(f"{URL}/x", json=1, headers={"Date": date})
        assert 1767225600 - 2 <= service().get("/x", {}).asked_at <= 1767225600
        monkeypatch.undo()
        time.tzset()

    @pytest.mark.parametrize(
        "date",
        [None, "today", "", "Fri, 31 Dec 9999 23:59:59 -0500", "Thu, 01 Jan 1970 00:00:00 GMT"],
    )
    def test_it_is_this_machines_elsewhere(self, requests_mock, date):
        headers = {} if date is None else {"Date": date}
        requests_mock.get(f"{URL}/x", json=1, headers=headers)
        before = int(time.time())
        answer = service().get("/x", {})
        assert before <= answer.asked_at <= time.time() < answer.answered_at


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ('{"message": "No", "cart": {"name": "Ann"}}', "No"),
        ('{"errors": {"limit": ["too large"], "email": ["wrong"]}}', "too large; wrong"),
        ('{"errors": [{"code": "E1", "message": "No", "value": "Ann"}]}', "No"),
        ('{"status": "error", "data": "The partner is unknown"}', "The partner is unknown"),
        ('{"data": {"validator": {"date_from": ["Needed."]}}}', "Needed."),
        ('{"data": {"email": "ann"}}', ""),
        ('"Bad filter"', "Bad filter"),
        ('["Bad filter", "twice"]', "Bad filter; twice"),
        ('{"description": "No"}', "No"),
        ('{"errors": {"billingAddress": {"fullName": "Ann"}}}', ""),
        ('{"errors": [{"field": "Ann"}]}', ""),
        ('{"message": {"to": "Ann"}}', ""),
        ("<html><title>Bad Gateway</title><p>for ann@shop.example</p>", "Bad Gateway for ***"),
        ("Zoë &amp; co: no", "Zoë & co: no"),
        ("", ""),
        ('{"error": ' + "[" * 900 + '"deep"' + "]" * 900 + "}", "deep"),
        ('{"message": "' + "a" * 1_000_000 + '"}', "a" * 300 + "…"),
        ("<" * 1_000_000, "<" * 300 + "…"),
        ("The key sk+live/4=<x>'2 is wrong", "The key **** is wrong"),
        ('{"message": "The key sk+live/4=<x>\'2 is wrong"}', "The key **** is wrong"),
        ("The key sk%2Blive/4=%3Cx%3E'2 is wrong", ""),
        ("The key sk\\u002Blive/4=<x>&#39;2 is wrong", ""),
    ],
)
def test_a_service_speaks_in_its_own_words_and_of_no_customer(content, words):
    """It may say what it likes in fields that are for saying it, and in a page of HTML."""
    update_secrets(forms(KEY))
    assert Answer(400, parse(content.encode()), content.encode(), KEY, 0, 0, True).words == words


@pytest.mark.parametrize(
    ("status", "content"),
    [(200, "Ann, Rue Saint-Joseph"), (200, '{"items": [{"name": "Ann'), (500, ' [{"name": "Ann')],
)
def test_what_may_be_carts_is_not_quoted(status, content):
    answer = Answer(status, parse(content.encode()), content.encode(), KEY, 0, 0, True)
    assert answer.words == ""


@pytest.mark.parametrize(
    ("address", "used"),
    [
        ("", "https://default.example/api"),
        ("https://proxy.example/api/", "https://proxy.example/api"),
        ("http://127.0.0.1:8000/api", "http://127.0.0.1:8000/api"),
        ("http://127.8.9.1", "http://127.8.9.1"),
        ("http://localhost:1", "http://localhost:1"),
        ("http://[::1]:8000/x", "http://[::1]:8000/x"),
    ],
)
def test_an_address_may_be_https_or_loopback(monkeypatch, address, used):
    monkeypatch.setenv("SHOP_URL", address)
    assert base_url("SHOP_URL", "https://default.example/api") == used


@pytest.mark.parametrize(
    "address",
    [
        "http://shop.example/api",
        "http://127.0.0.1@shop.example/api",
        "http://127.0.0.1:80@shop.example",
        "https://user:password@shop.example",
        "http://127.0.0.1.shop.example",
        "http://localhost.shop.example",
        "http://2130706433",
        "http://0.0.0.0:8000",
        "http://10.0.0.1",
        "http://[::ffff:10.0.0.1]",
        "http://127.0.0.1\\@shop.example",
        "http://127.0.0.1#@shop.example",
        "http://127.0.0.1?@shop.example",
        "http://shop.example\t",
        "https://shop.example/a b",
        "https://",
        "https:/api",
        "//127.0.0.1",
        "127.0.0.1:8000",
        "file:///etc/passwd",
        "ftp://127.0.0.1",
        "http://127.0.0.1:port",
        "nonsense",
    ],
)
def test_any_other_is_refused(monkeypatch, address):
    monkeypatch.setenv("SHOP_URL", address)
    with pytest.raises(ApiError, match="SHOP_URL must hold an https address") as refusal:
        base_url("SHOP_URL", "https://default.example")
    assert refusal.value.failure_type == FailureType.config_error


def test_without_the_variable_the_default_is_used(monkeypatch):
    monkeypatch.delenv("SHOP_URL", raising=False)
    assert base_url("SHOP_URL", "https://default.example") == "https://default.example"


GZIP = b"\x1f\x8b\x08\x08\0\0\0\0\0\xff"  # with a name that follows
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n"


@pytest.mark.parametrize(
    ("beginning", "drop"),
    [
        (b"HTTP/1.1 200 OK\r\nX: ", b"x"),
        (CHUNKED + b"\r\n1;", b"x"),
        (CHUNKED + b"\r\n0\r\n", b"X: y\r\n"),
        (CHUNKED + b"Content-Encoding: gzip\r\n\r\na\r\n" + GZIP + b"\r\n", b"1\r\nx\r\n"),
    ],
    ids=["head", "size of a chunk", "trailers", "name in gzip"],
)
def test_an_answer_that_drips_is_ended(monkeypatch, beginning, drop):
    """On a real socket, whose time limit begins anew with each byte."""
    monkeypatch.setattr(http, "_LONGEST_ANSWER", 3)

    def drip(server: socket.socket) -> None:
        connection, _ = server.accept()
        with connection, suppress(OSError):
            connection.sendall(beginning)
            for _ in range(400):
                connection.send(drop)
                time.sleep(0.05)

    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=drip, args=(server,), daemon=True).start()
        url = f"http://127.0.0.1:{server.getsockname()[1]}"
        patience = Patience(read=0.3, tries=1)
        dripping = Service("Shop", url, auth=NoAuth(), advice=ADVICE, secret=KEY, patience=patience)
        started = time.monotonic()
        with pytest.raises(ApiError, match=r"did not (answer|end its answer) in time"):
            dripping.get("/x", {})
        assert 0.6 < time.monotonic() - started < 15  # of 20 that it would go on


def test_what_is_packed_more_than_once_is_refused(requests_mock, waits):
    headers = {"Content-Encoding": "gzip, gzip"}
    error = failure(requests_mock, waits, {"content": b"{}", "headers": headers}, tries=1)
    assert "packed more than once" in error.message


@pytest.mark.parametrize(
    "said",
    [
        f"<p>{'<b></b>' * 280}{'x' * 20}{KEY}",
        KEY.replace("4", "4\u200b"), KEY.replace("4", "4\xad"), KEY.replace("4", "4\0"),
        KEY.replace("4", '4<b title="a>b">'), KEY.replace("4", "\uff14"),
    ],
)  # fmt: skip
def test_a_key_in_pieces_is_not_shown(requests_mock, waits, said):
    error = failure(requests_mock, waits, {"text": said, "status_code": 400})
    assert KEY[:7] not in error.message
    assert "HTTP 400" in error.message


@pytest.mark.parametrize(
    "said", ["ann.lovelace<wbr>@<wbr>shop.example", "ann.lovelace\u200b@x.y", "ann.lovelace @ x.y"]
)
def test_an_address_in_pieces_is_masked(requests_mock, waits, said):
    error = failure(requests_mock, waits, {"text": f"No {said} here", "status_code": 400})
    assert "lovelace" not in error.message
    assert "No *** here" in error.message


@pytest.mark.parametrize("before", ["\ufeff", "\0", "\u200b", ")]}',\n", "carts(", "<pre>", ""])
def test_flawed_json_is_not_quoted_whatever_stands_before_it(requests_mock, waits, before):
    text = before + '{"items":[{"name":"Ann Lovelace"'
    error = failure(requests_mock, waits, {"text": text, "status_code": 400})
    assert "Lovelace" not in error.message
