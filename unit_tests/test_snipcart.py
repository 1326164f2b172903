import pytest
from airbyte_cdk.models import FailureType

from source_abandoned_carts.http import ApiError, Patience
from source_abandoned_carts.snipcart import Snipcart

URL = "https://app.snipcart.com/api/carts/abandoned"


@pytest.fixture
def page(requests_mock):
    def ask(body, token=None, **settings):
        requests_mock.get(URL, json=body)
        given = {"filters": {"timeRange": "Anytime"}, "page_size": 50, **settings}
        return Snipcart("key", patience=Patience(tries=1), **given).page(token)

    return ask


def test_a_request_has_limit_filters_token_and_basic_auth(page, requests_mock):
    filters = {"timeRange": "LessThanADay", "email": "a+b@shop.example"}
    page({"items": [], "hasMoreResults": False}, "Cart|+//+=", filters=filters, page_size=7)
    sent = requests_mock.last_request
    assert sent.query.split("&") == [
        "limit=7", "timerange=lessthanaday", "email=a%2bb%40shop.example",
        "continuationtoken=cart%7c%2b%2f%2f%2b%3d",
    ]  # fmt: skip
    assert sent.headers["Authorization"] == "Basic a2V5Og=="


def test_a_page_has_carts_and_a_way_on(page):
    body = {"items": [{"token": "a"}], "hasMoreResults": True, "continuationToken": "Cart|x"}
    assert page(body).carts == [{"token": "a"}]
    assert page(body).next_token == "Cart|x"
    assert page({**body, "hasMoreResults": False}).next_token is None
    assert page({**body, "continuationToken": 25}).next_token == "25"


@pytest.mark.parametrize(
    "change",
    [
        {"items": None},
        {"items": {}},
        {"items": [None]},
        {"items": ["a"]},
        {"hasMoreResults": None},
        {"hasMoreResults": 1},
        {"hasMoreResults": "false"},
        {"continuationToken": None},
        {"continuationToken": ""},
        {"continuationToken": True},
        {"continuationToken": ["a"]},
    ],
)
def test_what_is_no_page_is_an_error(page, change):
    body = {"items": [], "hasMoreResults": True, "continuationToken": "Cart|x", **change}
    with pytest.raises(ApiError) as error:
        page(body)
    assert error.value.failure_type == FailureType.system_error


def test_the_date_times_of_carts_and_items_are_rewritten_and_nothing_else(page):
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
    (read,) = page({"items": [cart], "hasMoreResults": False}).carts
    assert read == {
        "creationDate": "2020-01-22T17:43:25Z",
        "modificationDate": "2020-01-22T17:43:25Z",
        "completionDate": None,
        "startsOn": "1579715005",
        "metadata": {"creationDate": "1579715005"},
        "items": [
            {"addedOn": "2023-12-31T23:00:00Z", "modificationDate": None, "price": 1.5},
            {"id": "without dates"},
            None,
        ],
    }


@pytest.mark.parametrize("items", [None, "two", 5, {"a": 1}])
def test_items_that_are_no_list_are_left_as_they_are(page, items):
    (read,) = page({"items": [{"items": items}], "hasMoreResults": False}).carts
    assert read == {"items": items}


def test_a_range_takes_the_place_of_the_filters_one(requests_mock):
    requests_mock.get(URL, json={"items": [], "hasMoreResults": False})
    filters = {"timeRange": "Anytime", "email": "a@shop.example"}
    Snipcart("key", filters, 50, Patience(tries=1)).page(None, "LessThanADay")
    assert requests_mock.last_request.qs["timerange"] == ["lessthanaday"]
    assert requests_mock.last_request.qs["email"] == ["a@shop.example"]
