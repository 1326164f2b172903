import pytest
from airbyte_cdk.models import FailureType

from source_abandoned_carts.http import ApiError, Patience
from source_abandoned_carts.retargeting import Counts, Retargeting
from source_abandoned_carts.windows import Window

URL = "https://api.retargeting.app/v1/partners-api/shopping-carts"


@pytest.fixture
def ask(requests_mock):
    def counts(body, status=200):
        requests_mock.get(URL, json=body, status_code=status)
        return Retargeting("key", Patience(tries=1)).counts(Window(100, 199))

    return counts


def refused(ask, body, status) -> ApiError:
    with pytest.raises(ApiError) as error:
        ask(body, status)
    return error.value


def test_a_window_is_asked_for_with_both_of_its_edges(ask, requests_mock):
    body = {"status": "success", "data": {"abandoned": 8, "recovered": 5}}
    assert ask(body) == Counts(abandoned=8, recovered=5)
    assert requests_mock.last_request.qs == {
        "rest_key": ["key"], "date_from": ["100"], "date_to": ["199"]
    }  # fmt: skip


@pytest.mark.parametrize("count", [8, 8.0, "8", "8.0", "8.", " 8 "])
def test_a_count_may_be_a_text(ask, count):
    body = {"status": "success", "data": {"abandoned": count, "recovered": 0}}
    assert ask(body) == Counts(8, 0)


@pytest.mark.parametrize("count", [None, True, "", "eight", -1, "-1", 8.5, "8.5", "1e2", [], {}])
def test_what_is_no_count_is_an_error(ask, count):
    error = refused(ask, {"status": "success", "data": {"abandoned": 8, "recovered": count}}, 200)
    assert error.failure_type == FailureType.system_error


@pytest.mark.parametrize("status", [200, 400, 401, 403, 422, 429, 500, 302])
@pytest.mark.parametrize("message", ["Incorrect rest key!", "Your account is not active!"])
@pytest.mark.parametrize("place", ["message", "data"])
def test_wrong_keys_and_inactive_accounts_are_known_by_the_body(ask, status, message, place):
    error = refused(ask, {"status": "error", place: message}, status)
    assert error.failure_type == FailureType.config_error
    assert message in error.message


@pytest.mark.parametrize(
    ("status", "failure_type"),
    [
        (200, FailureType.transient_error),
        (400, FailureType.transient_error),
        (500, FailureType.transient_error),
        (401, FailureType.config_error),
        (403, FailureType.config_error),
    ],
)
def test_something_went_wrong_may_pass(ask, status, failure_type):
    body = {"status": "error", "message": "Something went wrong"}
    assert refused(ask, body, status).failure_type == failure_type


@pytest.mark.parametrize(
    ("body", "status", "failure_type", "words"),
    [
        ({"status": "error", "message": "Interval is greater than 30 days"}, 200, "system_error",
         "Interval is greater than 30 days"),
        ({"status": "fail", "data": {"validator": {"date_from": ["Needed."]}}}, 422, "system_error",
         "Needed."),
        ({"status": "error"}, 429, "transient_error", "429"),
        ({"status": "error", "message": "new words"}, 503, "transient_error", "new words"),
        ({"data": {"abandoned": 8, "recovered": 5}}, 200, "system_error", "Retargeting"),
        ({"status": "SUCCESSFUL", "data": {"abandoned": 8, "recovered": 5}}, 200, "system_error",
         "Retargeting"),
        ({"status": "success", "data": {"abandoned": 8, "recovered": 5}}, 404, "system_error",
         "404"),
        ([], 200, "system_error", "Retargeting"),
        ({"status": "success"}, 200, "system_error", "numbers"),
        ({"status": "success", "data": [8, 5]}, 200, "system_error", "numbers"),
    ],
)  # fmt: skip
def test_the_rest_is_told_in_the_apis_own_words(ask, body, status, failure_type, words):
    error = refused(ask, body, status)
    assert error.failure_type.value == failure_type
    assert words in error.message
