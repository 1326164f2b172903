import time

import pytest
from airbyte_cdk.models import FailureType

from source_abandoned_carts.cart_stats import CartStats
from source_abandoned_carts.errors import ApiError
from source_abandoned_carts.http import Clock
from source_abandoned_carts.retargeting import Counts
from source_abandoned_carts.timestamps import from_epoch, to_epoch
from source_abandoned_carts.windows import DAY

from .helpers import make_config

START = to_epoch("2024-01-01T00:00:00Z")
NOW = START + 20 * DAY + 5
HOUR = 3_600


class FakeRetargeting:
    """Returns the number of days from the start to a window as its count."""

    def __init__(self, ahead=0, bad_day=1_000, first_has_date=True):
        self.ahead = ahead  # seconds of the service's clock; None: no Date header
        self.first_has_date = first_has_date
        self.bad_day = bad_day
        self.windows = []

    def counts(self, window):
        self.windows.append(window)
        day = (window.first - START) // DAY
        time.sleep(0.01 if day > self.bad_day else 0)
        if day == self.bad_day:
            raise ApiError("No.", FailureType.system_error)
        now = int(time.time()) + (self.ahead or 0)
        has_date = self.ahead is not None and (self.first_has_date or len(self.windows) > 1)
        if not has_date:
            now = int(time.time())
        return Counts(day, 0, Clock(now - 1, now + 1, has_date, 0))


@pytest.fixture
def read(monkeypatch):
    def read(api, state, days=7, lookback=0, now=NOW, start="2024-01-01T15:00:00Z"):
        """Yield the states, and for each page the first day of its window."""
        monkeypatch.setattr(time, "time", lambda: now + 0.5)
        changes = {"retargeting_window_days": days, "retargeting_lookback_days": lookback}
        for item in CartStats(api, make_config(start_date=start, **changes)).read(state):
            is_page = isinstance(item, list)
            assert not is_page or [*item[0]] == ["date_from", "date_to", "abandoned", "recovered"]
            yield item[0]["abandoned"] if is_page else item

    return read


def finished(now, **changes):
    return {"date_to": from_epoch(now), "window_days": 7, "start": "2024-01-01", **changes}


BEFORE_ALL = finished(NOW, reached="2023-12-31T23:59:59Z")


@pytest.mark.parametrize(
    ("ahead", "end"), [(None, NOW), (0, NOW), (-HOUR, NOW - HOUR), (DAY, NOW + DAY)]
)
def test_running_window_ends_at_the_service_time(read, ahead, end):
    days = [0, 7, 14] if end < START + 21 * DAY else [0, 7, 14, 21]
    assert list(read(FakeRetargeting(ahead), {})) == [*days, finished(end)]
    assert list(read(FakeRetargeting(ahead), finished(end), now=NOW + 60)) == [
        days[-1],
        finished(end + 60),
    ]


@pytest.mark.parametrize(("ahead", "end"), [(0, NOW), (-HOUR, NOW - HOUR)])
def test_running_window_ends_at_the_service_time_of_a_later_response(read, ahead, end):
    api = FakeRetargeting(ahead, first_has_date=False)
    assert list(read(api, {})) == [0, 7, 14, finished(end)]
    assert api.windows[-1].last == end


@pytest.mark.parametrize(
    ("lookback", "days"), [(0, [14]), (6, [14]), (7, [7, 14]), (365, [0, 7, 14])]
)
def test_rereads_the_windows_within_the_lookback(read, lookback, days):
    items = read(FakeRetargeting(), finished(NOW), lookback=lookback, now=NOW + 60)
    assert list(items) == [*days, finished(NOW + 60)]


@pytest.mark.parametrize(
    ("state", "days"),
    [
        (None, [0, 7, 14]),
        ({"date_to": from_epoch(NOW)}, [14]),
        (finished(NOW, window_days=30), [0, 7, 14]),
        (finished(NOW, start="2023-12-31"), [0, 7, 14]),
        (finished(NOW, date_to="then"), [0, 7, 14]),
        (finished(NOW, reached="2024-01-07T23:59:59Z"), [7, 14]),
        (finished(NOW, reached="2024-01-07T23:59:59Z", window_days=30), [0, 7, 14]),
        (finished(NOW, reached="then"), [14]),
    ],
)
def test_rereads_history_only_if_the_windows_change(read, caplog, state, days):
    items = list(read(FakeRetargeting(), state, now=NOW + 60))
    assert [item for item in items if item != BEFORE_ALL] == [*days, finished(NOW + 60)]
    is_read_again = bool(state) and days[0] == 0
    assert ("reads all windows" in caplog.text) == is_read_again


@pytest.mark.parametrize(
    "changes",
    [{"window_days": 30}, {"start": "2023-12-31"}, {"window_days": 30, "reached": from_epoch(NOW)}],
)
def test_new_windows_are_saved_before_their_first_record(read, changes):
    state = next(read(FakeRetargeting(), finished(NOW, **changes)))
    assert state == BEFORE_ALL
    # The settings change back, after a sync that was interrupted at its second window.
    assert list(read(FakeRetargeting(), state)) == [0, 7, 14, finished(NOW)]


def test_new_windows_from_the_first_second_are_all_read(read):
    state, *_ = read(FakeRetargeting(), finished(NOW), start="1970-01-01", days=30)
    assert next(read(FakeRetargeting(), state, start="1970-01-01", days=30)) == -START // DAY


def test_requests_at_most_16_windows_ahead_of_a_slow_destination(read):
    api = FakeRetargeting()
    pages = (item for item in read(api, {}, days=1, now=START + 99 * DAY) if item in range(100))
    for number, day in enumerate(pages, start=1):
        assert day == number - 1
        time.sleep(0.01)  # the requests that are allowed are sent
        assert len(api.windows) <= number + 15  # this one is not yet emitted
    assert len(api.windows) == 100


def test_future_state_or_start_reads_nothing(read, caplog):
    state = {"date_to": from_epoch(NOW + 2), "other": 1}
    assert list(read(FakeRetargeting(), state)) == [state]
    assert "is in the future" in caplog.text
    assert list(read(FakeRetargeting(), {}, start="2024-02-01")) == [{}]


def test_failing_window_ends_the_stream(read):
    api, items = FakeRetargeting(bad_day=12), []
    with pytest.raises(ApiError):
        items.extend(read(api, {}, days=1, now=START + 1_000 * DAY))
    end = START + 8 * DAY - 1
    state = finished(end, reached=from_epoch(end), window_days=1)
    assert items == [*range(8), state, *range(8, 12)]
    assert len(api.windows) < 500  # not all 1,001 windows


@pytest.mark.parametrize("last_day", [None, 60])
def test_interrupted_syncs_reach_the_end(read, last_day):
    """Each sync is interrupted after its first state, which follows eight windows."""
    now = START + 100 * DAY + 5
    state = {} if last_day is None else finished(START + last_day * DAY, window_days=1)
    dates, days = [], []
    for _ in range(13):
        for item in read(FakeRetargeting(), state, days=1, lookback=365, now=now):
            if isinstance(item, dict):
                state = item
                break
            days.append(item)
        dates.append(state["date_to"])
    assert days == list(range(101))
    assert state == finished(now, window_days=1)
    assert dates == sorted(dates)
    assert last_day is None or len(set(dates)) == 2
