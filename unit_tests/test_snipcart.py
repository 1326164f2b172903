import json
import logging
import re
import time

import pytest
from airbyte_cdk.models import FailureType

from source_abandoned_carts.errors import ApiError
from source_abandoned_carts.http import RetryPolicy
from source_abandoned_carts.snipcart import Snipcart

from .helpers import make_config

URL = "https://app.snipcart.com/api/carts/abandoned"


def pages(token=None, time_range=None, **settings):
    return list(Snipcart(make_config(**settings), RetryPolicy()).pages(token, time_range))


def page(*carts, token=None, **changes):
    body = {"items": list(carts), "hasMoreResults": token is not None, "continuationToken": token}
    return {"json": {**body, **changes}}


def test_each_request_has_filters_token_and_basic_auth(requests_mock):
    requests_mock.get(URL, [page(token="Cart|+//+="), page()])
    settings = {"minimal_value": 24.2, "email": "a+b@c.example", "page_size": 7, "api_key": "clé"}
    pages(**{f"snipcart_{name}": value for name, value in settings.items()})
    first, second = requests_mock.request_history
    query = "limit=7&timeRange=Anytime&minimalValue=24.2&email=a%2Bb%40c.example"
    assert first.url == f"{URL}?{query}"
    assert second.url == f"{first.url}&continuationToken=Cart%7C%2B%2F%2F%2B%3D"
    assert first.headers["Authorization"] == second.headers["Authorization"] == "Basic Y2zDqTo="


def test_time_range_replaces_the_filter(requests_mock):
    requests_mock.get(URL, [page(token="b"), page()])
    pages(token="a", time_range="LessThanADay")
    for request, token in zip(requests_mock.request_history, "ab", strict=True):
        assert request.query == f"limit=50&timerange=lessthanaday&continuationtoken={token}"


def test_reads_pages_until_there_are_no_more(requests_mock):
    last = page({"token": "b"}, token="ignored", hasMoreResults=False)
    requests_mock.get(URL, [page({"token": "a"}, token=25), page(token="26"), last])
    found = pages()
    assert [page.carts for page in found] == [[{"token": "a"}], [], [{"token": "b"}]]
    assert [page.next_token for page in found] == ["25", "26", None]


@pytest.mark.parametrize(
    "response",
    [
        {"json": []},
        page(items={}),
        page(None),
        page(hasMoreResults=1),
        page(hasMoreResults=True),
        page(token=""),
        page(token=True),
    ],
)
def test_rejects_an_invalid_page(requests_mock, response):
    requests_mock.get(URL, **response)
    with pytest.raises(ApiError, match="not a page of carts") as raised:
        pages()
    assert raised.value.failure_type == FailureType.system_error


@pytest.mark.parametrize("tokens", ["s", "aa", "aba"])
def test_rejects_a_repeated_token(requests_mock, tokens):
    requests_mock.get(URL, [page(token=token) for token in tokens])
    with pytest.raises(ApiError, match="not a page of carts"):
        pages(token="s")
    assert requests_mock.call_count == len(tokens)


def test_normalizes_only_dates_of_carts_and_items(requests_mock):
    item = {"addedOn": "2024-01-01T00:00:00+01:00", "modificationDate": "soon", "price": 1.5}
    cart = {
        "creationDate": "1579715005",
        "modificationDate": 1579715005,
        "completionDate": "0001-01-01T00:00:00",
        "metadata": {"creationDate": "1579715005"},
        "items": [item, {"id": "without dates"}, None],
    }
    requests_mock.get(URL, **page(cart, {"items": "none"}))
    date = "2020-01-22T17:43:25Z"
    dates = {"creationDate": date, "modificationDate": date, "completionDate": None}
    item = {"addedOn": "2023-12-31T23:00:00Z", "modificationDate": None, "price": 1.5}
    items = [item, {"id": "without dates"}, None]
    assert pages()[0].carts == [{**cart, **dates, "items": items}, {"items": "none"}]


def serve(requests_mock, size, respond):
    """Serve a list of carts. Return a list to which each request adds its limit.

    `respond` takes a limit and the number of carts before the page. It returns how many carts to
    send, or an HTTP status as text.
    """
    limits = []

    def text(request, context):
        limit = int(request.qs["limit"][0])
        start = int(request.qs.get("continuationtoken", ["0"])[0])
        limits.append(limit)
        response = respond(limit, start)
        if isinstance(response, str):
            context.status_code = int(response)
            return ""
        end = min(start + response, size)
        token = {"continuationToken": str(end)} if end < size else {}
        carts = [{"token": number} for number in range(start, end)]
        return json.dumps({"items": carts, "hasMoreResults": bool(token), **token})

    requests_mock.get(URL, text=text)
    return limits


@pytest.mark.parametrize(
    ("respond", "first_limits", "count", "reasons"),
    [
        (lambda limit, _: limit, [50, 100, 200, 400, 500, 500], 43, []),
        (lambda limit, _: min(limit, 50), [50, 100, 100], 400, []),
        (lambda limit, _: 25, [50, 50], 800, []),
        (lambda limit, _: limit if limit <= 100 else "400",
         [50, 100, 200, 100, 100], 202, ["HTTP 400"]),
        (lambda limit, _: limit if limit <= 200 else "500",
         [50, 100, 200, 400, 200], 103, ["HTTP 500"]),
        (lambda limit, start: limit if limit <= (400 if start < 5_000 else 50) else "400",
         [50, 100, 200, 400, 500, 400, 400], 316, ["HTTP 400"]),
    ],
    ids=["any", "capped at 50", "short", "400 above 100", "500 above 200", "changes"],
)  # fmt: skip
def test_adapts_the_page_size(
    requests_mock, monkeypatch, caplog, respond, first_limits, count, reasons
):
    caplog.set_level(logging.INFO)
    monkeypatch.setattr(time, "sleep", lambda seconds: pytest.fail("slept"))
    limits = serve(requests_mock, 20_000, respond)
    assert [c["token"] for page in pages() for c in page.carts] == list(range(20_000))
    assert limits[: len(first_limits)] == first_limits
    assert len(limits) == count
    assert re.findall(r"failed \((.+)\)\. The connector continues with", caplog.text) == reasons


@pytest.mark.parametrize(
    ("status", "limits"),
    [("401", [100]), ("403", [100]), ("429", [100] * 6), ("500", [100] + [50] * 6)],
)
def test_falls_back_or_retries_by_the_status(requests_mock, waits, status, limits):
    requested = serve(requests_mock, 1_000, lambda limit, start: limit if start == 0 else status)
    with pytest.raises(ApiError):
        pages()
    assert requested == [50, *limits]


@pytest.mark.parametrize(
    ("body", "advice"),
    [
        ("[" * 1_100 + "]" * 1_100, "nested too deeply (HTTP 200 OK). Report"),
        ('["' + " " * 64 * 2**20 + '"]', "above 64 MB. Set “Page size” (snipcart_page_size)"),
    ],
    ids=["too deep", "too large"],
)
def test_a_page_that_cannot_be_read_is_requested_with_smaller_limits_only(
    requests_mock, monkeypatch, body, advice
):
    monkeypatch.setattr(time, "sleep", lambda seconds: pytest.fail("slept"))
    requests_mock.get(
        URL, [page({"a": 1}, token="2"), *[page(*[{}] * 50, token="3")], {"text": body}]
    )
    with pytest.raises(ApiError) as raised:
        pages()
    assert advice in raised.value.message
    assert raised.value.failure_type == FailureType.system_error
    limits = [request.qs["limit"] for request in requests_mock.request_history]
    assert limits == [["50"], ["50"], ["100"], ["50"]]


def test_keeps_a_fixed_page_size(requests_mock):
    limits = serve(requests_mock, 100, lambda limit, _: limit)
    pages(snipcart_page_size=20)
    assert limits == [20] * 5


def cart(token):
    return Snipcart(make_config(), RetryPolicy()).cart(token)


def test_returns_a_cart_by_its_token(requests_mock):
    requests_mock.get(f"{URL}/a%2Fb%3F", json={"completionDate": "2024-01-01", "other": [None]})
    assert cart("a/b?") == {"completionDate": "2024-01-01T00:00:00Z", "other": [None]}


@pytest.mark.parametrize("status", [404, 410])
def test_returns_none_for_a_cart_that_is_gone(requests_mock, status):
    requests_mock.get(f"{URL}/a", status_code=status, json={})
    assert cart("a") is None


def test_response_that_is_not_a_cart_is_an_error(requests_mock):
    requests_mock.get(f"{URL}/a", json=[{"token": "a"}])
    with pytest.raises(ApiError, match="is not a cart") as raised:
        cart("a")
    assert raised.value.failure_type == FailureType.system_error
