import pytest
from airbyte_cdk.models import FailureType

from source_abandoned_carts.errors import ApiError
from source_abandoned_carts.http import RetryPolicy
from source_abandoned_carts.retargeting import Retargeting
from source_abandoned_carts.windows import Window

from .helpers import make_config

URL = "https://api.retargeting.app/v1/partners-api/shopping-carts"


@pytest.fixture
def api():
    return Retargeting(make_config(), RetryPolicy(attempts=1))


def success(recovered=5):
    return {"status": "success", "data": {"abandoned": 8, "recovered": recovered}}


def test_requests_both_edges_of_a_window(api, requests_mock):
    requests_mock.get(URL, json=success(), headers={"Date": "Thu, 01 Jan 2026 00:00:00 GMT"})
    counts = api.counts(Window(100, 199))
    assert counts[:2] == (8, 5)
    assert counts.clock.is_service
    assert requests_mock.last_request.query == "rest_key=rest-key-1&date_from=100&date_to=199"


def test_accepts_a_count_as_text(api, requests_mock):
    for count in (5, 5.0, "5", "5.0", " 5 "):
        requests_mock.get(URL, json=success(count))
        assert api.counts(Window(1, 2))[:2] == (8, 5)


@pytest.mark.parametrize(
    "body",
    [
        {"status": "success"},
        {"status": "success", "data": [8, 5]},
        *[success(count) for count in (None, True, "", "five", -1, "-1", 8.5, "8.5", "1e2", [])],
    ],
)
def test_rejects_a_response_without_two_whole_numbers(api, requests_mock, body):
    requests_mock.get(URL, json=body)
    with pytest.raises(ApiError, match="lacks two whole numbers") as raised:
        api.counts(Window(1, 2))
    assert raised.value.failure_type == FailureType.system_error
