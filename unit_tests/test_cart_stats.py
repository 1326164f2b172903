import threading

import pytest

from source_abandoned_carts.cart_stats import CartStats
from source_abandoned_carts.checkpoint import Checkpoint
from source_abandoned_carts.http import ApiError
from source_abandoned_carts.retargeting import Counts
from source_abandoned_carts.timestamps import from_epoch, to_epoch
from source_abandoned_carts.windows import DAY

START = to_epoch("2024-01-01T00:00:00Z")
NOW = START + 20 * DAY + 5


class FakeApi:
    def __init__(self, bad: int | None = None) -> None:
        self._bad = bad
        self._lock = threading.Lock()
        self.asked: list[int] = []

    def counts(self, window):
        with self._lock:
            self.asked.append(window.first)
        if window.first == self._bad:
            raise ApiError("No.")
        return Counts((window.first - START) // DAY, 0)


def stream(api, days=7, lookback=0):
    return CartStats(api, "2024-01-01T15:00:00Z", days, lookback)


def test_records_and_states_come_in_order():
    items = list(stream(FakeApi()).read({}, NOW))
    first = {
        "date_from": "2024-01-01T00:00:00Z",
        "date_to": "2024-01-07T23:59:59Z",
        "abandoned": 0,
        "recovered": 0,
    }
    assert items[:2] == [
        [first],
        Checkpoint({"date_to": "2024-01-07T23:59:59Z", "window_days": 7, "start": "2024-01-01"}),
    ]
    assert [record["abandoned"] for (record,) in items[::2]] == [0, 7, 14]
    assert items[-1].state["date_to"] == from_epoch(NOW)


@pytest.mark.parametrize(
    ("lookback", "first"),
    [(0, 14), (6, 14), (7, 7), (13, 7), (14, 0), (365, 0)],
)
def test_windows_are_read_again_from_the_one_that_holds_the_lookback(lookback, first):
    state = {"date_to": from_epoch(NOW), "window_days": 7, "start": "2024-01-01"}
    items = list(stream(FakeApi(), lookback=lookback).read(state, NOW + 60))
    assert items[0][0]["abandoned"] == first


@pytest.mark.parametrize(
    ("change", "whole"),
    [
        ({}, False),
        ({"window_days": 30}, True),
        ({"start": "2023-12-31"}, True),
        ({"date_to": "then"}, True),
        ({"date_to": None}, True),
        ({"window_days": "7"}, True),
    ],
)
def test_a_state_of_other_windows_reads_history_again(change, whole, caplog):
    state = {"date_to": from_epoch(NOW), "window_days": 7, "start": "2024-01-01", **change}
    items = list(stream(FakeApi()).read(state, NOW + 60))
    assert len(items) == (6 if whole else 2)
    assert ("read again" in caplog.text) == whole


def test_a_key_missing_in_the_state_counts_as_the_same():
    assert len(list(stream(FakeApi()).read({"date_to": from_epoch(NOW)}, NOW + 60))) == 2


def test_a_state_in_the_future_is_kept():
    state = {"date_to": from_epoch(NOW + 1), "other": 1}
    api = FakeApi()
    assert list(stream(api).read(state, NOW)) == [Checkpoint(state)]
    assert api.asked == []


def test_nothing_to_read_leaves_the_state():
    assert list(stream(FakeApi()).read({}, START - 1)) == [Checkpoint({})]


def test_a_failing_window_ends_the_stream_and_the_requests():
    api = FakeApi(bad=START + 5 * DAY)
    items = []
    with pytest.raises(ApiError):
        items.extend(stream(api, days=1).read(None, START + 1000 * DAY))
    assert [record["abandoned"] for (record,) in items[::2]] == [0, 1, 2, 3, 4]
    assert len(api.asked) < 100
