import threading
import time

import pytest

from source_abandoned_carts.cart_stats import CartStats
from source_abandoned_carts.http import Clock
from source_abandoned_carts.responses import ApiError
from source_abandoned_carts.retargeting import Counts
from source_abandoned_carts.timestamps import from_epoch, to_epoch
from source_abandoned_carts.windows import DAY

from .helpers import make_config

START = to_epoch("2024-01-01T00:00:00Z")
NOW = START + 20 * DAY + 5  # by this machine's clock
GRID = {"window_days": 7, "start": "2024-01-01"}


class FakeApi:
    """Counts the days from the start to the first second of a window."""

    def __init__(self, ahead: int | None = 0, bad_day: int = -1) -> None:
        self.ahead = ahead  # of the service's clock, in seconds; None if it does not tell the time
        self.bad_day = bad_day
        self.lock = threading.Lock()
        self.windows = []

    def counts(self, window):
        with self.lock:
            self.windows.append(window)
        day = (window.first - START) // DAY
        time.sleep(0.01 if 0 < self.bad_day < day else 0)
        if day == self.bad_day:
            raise ApiError("No.")
        now = int(time.time())
        clock = Clock(now, now + 1, False)
        if self.ahead is not None:
            clock = Clock(now - 1 + self.ahead, now + 1 + self.ahead, True)
        return Counts(day, 0, clock)


@pytest.fixture
def read(monkeypatch):
    def read(api, state, days=7, lookback=0, now=NOW, start="2024-01-01T15:00:00Z"):
        """Return the first days of the windows that were read, and the states."""
        monkeypatch.setattr(time, "time", lambda: now + 0.5)
        config = make_config(
            start_date=start, retargeting_window_days=days, retargeting_lookback_days=lookback
        )
        items = list(CartStats(api, config).read(state))
        records = [record for item in items if isinstance(item, list) for record in item]
        read.records = records
        days_read = [record["abandoned"] for record in records]
        return days_read, [item for item in items if isinstance(item, dict)]

    return read


def finished(now, **changes):
    return {"date_to": from_epoch(now), **GRID, **changes}


def test_reads_windows_in_order_up_to_now(read):
    assert read(FakeApi(), {}) == ([0, 7, 14], [finished(NOW)])
    assert read.records[0] == {
        "date_from": "2024-01-01T00:00:00Z",
        "date_to": "2024-01-07T23:59:59Z",
        "abandoned": 0,
        "recovered": 0,
    }
    assert read.records[-1]["date_to"] == from_epoch(NOW)


def test_requests_no_window_twice(read):
    api = FakeApi()
    read(api, {})
    assert len(api.windows) == 3


@pytest.mark.parametrize(
    ("ahead", "end"),
    [(None, NOW), (0, NOW), (3_600, NOW + 3_600), (-3_600, NOW - 3_600), (DAY, NOW + DAY)],
)
def test_the_running_window_ends_at_the_clock_of_the_service(read, ahead, end):
    days_read, states = read(FakeApi(ahead), {})
    assert days_read == ([0, 7, 14, 21] if end >= START + 21 * DAY else [0, 7, 14])
    assert states == [finished(end)]
    # The next sync goes on from there, whatever this machine's clock is.
    assert read(FakeApi(ahead), states[0], now=NOW + 60)[1] == [finished(end + 60)]


@pytest.mark.parametrize(
    ("lookback", "first"), [(0, 14), (6, 14), (7, 7), (13, 7), (14, 0), (365, 0)]
)
def test_reads_again_from_the_window_that_holds_the_lookback(read, lookback, first):
    days_read, _ = read(FakeApi(), finished(NOW), lookback=lookback, now=NOW + 60)
    assert days_read == list(range(first, 21, 7))


def test_a_full_refresh_ignores_the_state(read):
    assert read(FakeApi(), None)[0] == [0, 7, 14]


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({}, [14]),
        ({"window_days": 30}, [0, 7, 14]),
        ({"window_days": "7"}, [0, 7, 14]),
        ({"start": "2023-12-31"}, [0, 7, 14]),
        ({"date_to": "then"}, [0, 7, 14]),
        ({"date_to": None}, [0, 7, 14]),
        ({"window_days": 30, "reached": "2024-01-07T23:59:59Z"}, [0, 7, 14]),
        ({"reached": "2024-01-07T23:59:59Z"}, [7, 14]),
        ({"reached": "then"}, [14]),
    ],
)
def test_reads_history_again_if_the_windows_changed(read, caplog, change, expected):
    days_read, states = read(FakeApi(), finished(NOW, **change), now=NOW + 60)
    assert days_read == expected
    assert states == [finished(NOW + 60)]
    assert ("All windows are read again" in caplog.text) == (expected[0] == 0)


def test_a_key_missing_in_the_state_counts_as_unchanged(read):
    assert read(FakeApi(), {"date_to": from_epoch(NOW)}, now=NOW + 60)[0] == [14]


def test_keeps_a_state_in_the_future(read, caplog):
    state = {"date_to": from_epoch(NOW + 2), "other": 1}
    assert read(FakeApi(), state) == ([], [state])
    assert "is in the future" in caplog.text


def test_a_start_in_the_future_reads_nothing(read):
    assert read(FakeApi(), {}, start="2024-02-01") == ([], [{}])


def test_a_failing_window_ends_the_stream(read, monkeypatch):
    api = FakeApi(bad_day=12)
    monkeypatch.setattr(time, "time", lambda: START + 1_000 * DAY)
    items = []
    with pytest.raises(ApiError):
        items.extend(CartStats(api, make_config(retargeting_window_days=1)).read({}))
    records = [item[0]["abandoned"] for item in items if isinstance(item, list)]
    states = [item for item in items if isinstance(item, dict)]
    assert records == list(range(12))
    end = "2024-01-08T23:59:59Z"
    assert states == [{"date_to": end, "window_days": 1, "start": "2024-01-01", "reached": end}]
    assert len(api.windows) < 500  # of 1,001


@pytest.mark.parametrize("last", [None, 60])
def test_syncs_that_are_interrupted_reach_the_end(monkeypatch, last):
    """Each sync is interrupted behind its first state, which comes after eight windows."""
    now = START + 100 * DAY + 5
    config = make_config(retargeting_window_days=1, retargeting_lookback_days=365)
    state = {} if last is None else finished(START + last * DAY, window_days=1)
    monkeypatch.setattr(time, "time", lambda: now + 0.5)
    days_read, dates, syncs = [], [], 0
    while state.get("date_to") != from_epoch(now):
        for item in CartStats(FakeApi(), config).read(state):
            if isinstance(item, dict):
                state = item
                break
            days_read.append(item[0]["abandoned"])
        dates.append(state["date_to"])
        syncs += 1
    assert days_read == list(range(101))
    assert syncs == 13
    assert dates == sorted(dates)
    assert last is None or len(set(dates)) == 2
