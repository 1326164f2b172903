import json
import logging
import time

import pytest
from airbyte_cdk.models import FailureType

from source_abandoned_carts.http import RetryPolicy
from source_abandoned_carts.responses import ApiError
from source_abandoned_carts.snipcart import Snipcart

from .helpers import make_config

URL = "https://app.snipcart.com/api/carts/abandoned"


def pages(token=None, time_range=None, **settings):
    api = Snipcart(make_config(**settings), RetryPolicy())
    return list(api.pages(token, time_range))


def body(items=(), token=None, **changes):
    page = {"items": list(items), "hasMoreResults": token is not None, "continuationToken": token}
    return {"json": {**page, **changes}}


def parameters(requests_mock, name):
    return [request.qs.get(name, [None])[0] for request in requests_mock.request_history]


def test_each_request_has_the_filters_the_token_and_basic_auth(requests_mock):
    requests_mock.get(URL, [body(token="Cart|+//+="), body()])
    pages(snipcart_email="a+b@shop.example", snipcart_page_size=7, snipcart_api_key="clé")
    first, second = requests_mock.request_history
    filters = "limit=7&timeRange=Anytime&email=a%2Bb%40shop.example"
    assert first.url == f"{URL}?{filters}"
    assert second.url == f"{URL}?{filters}&continuationToken=Cart%7C%2B%2F%2F%2B%3D"
    assert first.headers["Authorization"] == second.headers["Authorization"] == "Basic Y2zDqTo="


def test_a_time_range_replaces_the_one_among_the_filters(requests_mock):
    requests_mock.get(URL, [body(token="b"), body()])
    pages(token="a", time_range="LessThanADay")
    assert parameters(requests_mock, "timerange") == ["lessthanaday", "lessthanaday"]
    assert parameters(requests_mock, "continuationtoken") == ["a", "b"]


def test_reads_pages_until_there_are_no_more(requests_mock):
    last = body([{"token": "b"}], token="ignored", hasMoreResults=False)
    requests_mock.get(URL, [body([{"token": "a"}], token=25), body(token="26"), last])
    found = pages()
    assert [page.carts for page in found] == [[{"token": "a"}], [], [{"token": "b"}]]
    assert [page.next_token for page in found] == ["25", "26", None]


@pytest.mark.parametrize(
    "response",
    [
        {"json": []},
        {"json": {"items": None, "hasMoreResults": False}},
        {"json": {"items": {}, "hasMoreResults": False}},
        {"json": {"items": [None], "hasMoreResults": False}},
        {"json": {"hasMoreResults": False}},
        {"json": {"items": []}},
        body(hasMoreResults=1),
        body(hasMoreResults="false"),
        body(hasMoreResults=True),
        body(token=""),
        body(token=True),
        body(token=["a"]),
    ],
)
def test_rejects_what_is_not_a_page(requests_mock, response):
    requests_mock.get(URL, **response)
    with pytest.raises(ApiError, match="not a page of carts") as raised:
        pages()
    assert raised.value.failure_type == FailureType.system_error


@pytest.mark.parametrize("tokens", ["aa", "aba", "abcb", "s"])
def test_rejects_a_token_that_repeats(requests_mock, tokens):
    requests_mock.get(URL, [body(token=token) for token in tokens])
    with pytest.raises(ApiError, match="not a page of carts"):
        pages(token="s")
    assert requests_mock.call_count == len(tokens)


def test_normalizes_the_dates_of_carts_and_items_and_nothing_else(requests_mock):
    cart = {
        "creationDate": "1579715005",
        "modificationDate": 1579715005,
        "completionDate": "0001-01-01T00:00:00",
        "startsOn": "1579715005",
        "metadata": {"creationDate": "1579715005"},
        "items": [
            {"addedOn": "2024-01-01T00:00:00+01:00", "modificationDate": "soon", "price": 1.5},
            {"id": "without dates"},
            None,
        ],
    }
    requests_mock.get(URL, **body([cart, {"items": "none"}]))
    ((found, other),) = [page.carts for page in pages()]
    assert found == {
        **cart,
        "creationDate": "2020-01-22T17:43:25Z",
        "modificationDate": "2020-01-22T17:43:25Z",
        "completionDate": None,
        "items": [
            {"addedOn": "2023-12-31T23:00:00Z", "modificationDate": None, "price": 1.5},
            {"id": "without dates"},
            None,
        ],
    }
    assert other == {"items": "none"}


class List:
    """A list of carts behind a service that responds to `limit` as a function says.

    The function takes the limit and the number of carts before the page. It returns how many carts
    to send, or an HTTP status as a text.
    """

    def __init__(self, requests_mock, size, behaviour):
        self.size = size
        self.behaviour = behaviour
        self.limits = []
        requests_mock.get(URL, text=self.respond)

    def respond(self, request, context):
        limit, start = int(request.qs["limit"][0]), int(request.qs.get("continuationtoken", "0")[0])
        self.limits.append(limit)
        response = self.behaviour(limit, start)
        if isinstance(response, str):
            context.status_code = int(response)
            return ""
        end = min(start + response, self.size)
        token = {"continuationToken": str(end)} if end < self.size else {}
        carts = [{"token": number} for number in range(start, end)]
        return json.dumps({"items": carts, "hasMoreResults": bool(token), **token})


class TestPageSize:
    @pytest.mark.parametrize(
        ("behaviour", "limits", "requests"),
        [
            pytest.param(lambda limit, _: limit, [50, 100, 200, 400, 500], 43, id="any limit"),
            pytest.param(lambda limit, _: min(limit, 50), [50, 100, 100], 400, id="cap of 50"),
            pytest.param(lambda limit, _: 25, [50, 50, 50], 800, id="short pages"),
            pytest.param(
                lambda limit, _: limit if limit <= 100 else "400",
                [50, 100, 200, 100, 100], 202, id="400 above 100",
            ),
            pytest.param(
                lambda limit, _: limit if limit <= 200 else "500",
                [50, 100, 200, 400, 200, 200], 103, id="500 above 200",
            ),
            pytest.param(
                lambda limit, start: limit if limit <= (400 if start < 5_000 else 50) else "400",
                [50, 100, 200, 400, 500, 400], 316, id="a cap that changes",
            ),
        ],
    )  # fmt: skip
    def test_adapts(self, requests_mock, monkeypatch, caplog, behaviour, limits, requests):
        caplog.set_level(logging.INFO)
        monkeypatch.setattr(time, "sleep", lambda seconds: pytest.fail("slept"))
        service = List(requests_mock, 20_000, behaviour)
        carts = [cart["token"] for page in pages() for cart in page.carts]
        assert carts == list(range(20_000))
        assert service.limits[: len(limits)] == limits
        assert len(service.limits) == requests
        has_fallback = sorted(service.limits) != service.limits
        assert caplog.text.count("The scan goes on with") == has_fallback

    @pytest.mark.parametrize(("status", "calls"), [("401", 1), ("403", 1), ("429", 6)])
    def test_does_not_fall_back(self, requests_mock, monkeypatch, status, calls):
        monkeypatch.setattr(time, "sleep", lambda seconds: None)
        service = List(requests_mock, 1_000, lambda limit, _: limit if limit == 50 else status)
        with pytest.raises(ApiError) as raised:
            pages()
        assert raised.value.status == int(status)
        assert service.limits == [50] + [100] * calls

    def test_retries_with_the_first_limit(self, requests_mock, monkeypatch):
        waits = []
        monkeypatch.setattr(time, "sleep", waits.append)
        service = List(requests_mock, 1_000, lambda limit, start: limit if start == 0 else "500")
        with pytest.raises(ApiError):
            pages()
        assert service.limits == [50, 100] + [50] * 6
        assert len(waits) == 5

    def test_a_fixed_size_stays(self, requests_mock):
        service = List(requests_mock, 100, lambda limit, _: limit)
        pages(snipcart_page_size=20)
        assert service.limits == [20] * 5
