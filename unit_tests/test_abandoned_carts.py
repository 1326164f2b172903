import time

import pytest
from airbyte_cdk.models import FailureType

from source_abandoned_carts.abandoned_carts import AbandonedCarts
from source_abandoned_carts.http import Clock
from source_abandoned_carts.responses import ApiError
from source_abandoned_carts.snipcart import Page
from source_abandoned_carts.timestamps import from_epoch, to_epoch

from .helpers import make_config

START = "2024-01-01T00:00:00Z"
NOW = "2024-06-01T00:00:00Z"  # by the service's clock
HOUR = 3_600


class FakeApi:
    """Pages of carts, each given by its modification date; the token of a page is its index."""

    def __init__(self, *pages, now=NOW, is_service=True, seconds_per_page=0):
        self.dates = pages
        self.now = to_epoch(now)
        self.is_service = is_service
        self.seconds_per_page = seconds_per_page
        self.failure = None  # of the first request
        self.calls = []

    def pages(self, token=None, time_range=None):
        self.calls.append(token or time_range)
        if self.failure is not None:
            failure, self.failure = self.failure, None
            raise failure
        for index in range(int(token or 0), len(self.dates)):
            carts = [{"modificationDate": date} for date in self.dates[index]]
            next_token = str(index + 1) if index + 1 < len(self.dates) else None
            clock = Clock(self.now, self.now + self.seconds_per_page, self.is_service)
            yield Page(carts, next_token, clock)
            self.now += self.seconds_per_page


def read(api, state, **settings):
    """Return the dates of the carts that were emitted, and the states."""
    items = list(AbandonedCarts(api, make_config(**settings)).read(state))
    pages = [item for item in items if isinstance(item, list)]
    dates = [cart["modificationDate"] for page in pages for cart in page]
    return dates, [item for item in items if isinstance(item, dict)]


def finished(cursor, **changes):
    return {
        "modificationDate": cursor,
        "filters": make_config().fingerprint,
        "start": START,
        **changes,
    }


def unfinished(**changes):
    scan = {"scan_token": "1", "scan_began": "2024-05-01T00:00:00Z", **changes}
    return finished("2024-02-01T00:00:00Z", **scan)


class TestCursor:
    def test_is_an_hour_and_the_duration_before_the_newest_date(self):
        dates = ["2024-03-01T00:00:00Z", "2024-02-01T00:00:00Z"]
        assert read(FakeApi(dates), {}) == (dates, [finished("2024-02-29T23:00:00Z")])
        api = FakeApi(dates, [None], seconds_per_page=300)
        assert read(api, {})[1] == [finished("2024-02-29T22:50:00Z")]

    @pytest.mark.parametrize(
        ("date", "cursor"),
        [
            (NOW, "2024-05-31T23:00:00Z"),
            ("2024-06-01T00:00:00.001Z", "2024-04-30T23:00:00Z"),
            ("2034-01-01T00:00:00Z", "2024-04-30T23:00:00Z"),
        ],
    )
    def test_ignores_dates_after_the_beginning_of_the_scan(self, date, cursor):
        dates = ["2024-05-01T00:00:00Z", date]
        assert read(FakeApi(dates), {}) == (dates, [finished(cursor)])

    def test_never_goes_back(self):
        state = finished("2024-05-31T23:30:00Z")
        assert read(FakeApi(["2024-05-31T23:45:00Z"]), state)[1] == [state]

    def test_stays_without_a_dated_cart(self):
        assert read(FakeApi([None]), {}) == ([None], [{}])
        state = finished("2024-05-01T00:00:00Z")
        assert read(FakeApi([None]), state) == ([None], [state])

    def test_includes_carts_modified_at_that_instant(self):
        dates = ["2024-02-01T00:00:00Z", "2024-02-01T00:00:00.500Z", "2024-02-01T00:00:00.4999Z"]
        assert read(FakeApi(dates), finished("2024-02-01T00:00:00.5Z"))[0] == [dates[1]]

    @pytest.mark.parametrize(("seconds", "is_read"), [(0, True), (1, False)])
    def test_in_the_future_keeps_the_state(self, caplog, seconds, is_read):
        state = finished(from_epoch(to_epoch(NOW) + seconds), other="kept")
        dates, states = read(FakeApi([None]), state)
        assert (dates, "is in the future" in caplog.text) == ([None] * is_read, not is_read)
        assert is_read or states == [state]


class TestState:
    @pytest.mark.parametrize(
        "state",
        [
            {"modificationDate": "then"},
            {"modificationDate": None},
            finished("2024-03-01T00:00:00Z", start="then"),
            unfinished(scan_began="soon"),
            unfinished(scan_newest=[]),
            finished("2024-03-01T00:00:00Z", full_scan_began=[]),
        ],
    )
    def test_that_is_invalid_reads_all_carts(self, caplog, state):
        api = FakeApi([START])
        assert read(api, state) == ([START], [finished("2023-12-31T23:00:00Z")])
        assert api.calls == [None]
        assert "is not valid" in caplog.text

    @pytest.mark.parametrize(
        ("changes", "settings", "is_read_again"),
        [
            ({}, {}, False),
            ({}, {"snipcart_minimal_value": 5}, True),
            ({}, {"snipcart_time_range": "LessThanAMonth"}, True),
            ({"filters": "other"}, {}, True),
            ({"filters": None}, {}, True),
            ({}, {"start_date": "2023-12-31T23:59:59Z"}, True),
            ({}, {"start_date": "2024-01-02"}, False),
        ],
    )
    def test_of_other_filters_or_a_later_start_reads_all_carts(
        self, changes, settings, is_read_again
    ):
        dates = ["2024-01-31T00:00:00Z", "2024-02-01T00:00:00Z"]
        state = finished("2024-02-01T00:00:00Z", **changes)
        assert read(FakeApi(dates), state, **settings)[0] == dates[0 if is_read_again else 1 :]
        api = FakeApi([START], dates)
        read(api, {**unfinished(), **changes}, **settings)
        assert api.calls == [None if is_read_again else "1"]

    def test_without_filters_and_start_counts_as_unchanged(self):
        dates = ["2024-01-31T00:00:00Z", "2024-03-01T00:00:00Z"]
        state = {"modificationDate": "2024-02-01T00:00:00Z"}
        expected = finished("2024-02-29T23:00:00Z")
        assert read(FakeApi(dates), state) == (dates[1:], [expected])

    def test_a_later_start_counts_more_than_the_cursor(self):
        dates = ["2024-03-01T00:00:00Z", "2024-03-15T00:00:00Z"]
        state = finished("2024-02-01T00:00:00Z")
        assert read(FakeApi(dates), state, start_date="2024-03-15")[0] == dates[1:]

    def test_is_ignored_by_a_full_refresh(self):
        assert read(FakeApi([START]), None)[0] == [START]


class TestCheckpoints:
    @pytest.mark.parametrize("size", [0, 1, 50, 400, 500, 1_000])
    def test_come_every_1000_carts_and_every_20_pages(self, size):
        pages = [[START] * size] * 70
        carts = seen = saved = 0
        for item in AbandonedCarts(FakeApi(*pages), make_config()).read({}):
            if isinstance(item, list):
                carts, seen = carts + len(item), seen + 1
                assert carts <= 1_000
                assert seen - saved <= 20
            elif "scan_token" in item:
                assert int(item["scan_token"]) == seen
                carts, saved = 0, seen
        assert seen == 70

    def test_count_carts_that_are_not_emitted(self):
        old = ["2023-01-01T00:00:00Z"] * 400
        dates, states = read(FakeApi(old, old, old, old, old), {})
        assert dates == []
        assert [state.get("scan_token") for state in states] == ["2", "4", None]

    def test_are_not_saved_by_a_full_refresh(self):
        assert len(read(FakeApi(*[[START]] * 50), None)[1]) == 1

    def test_hold_the_beginning_and_the_newest_date_of_the_scan(self):
        api = FakeApi(["2024-05-01T00:00:00Z"], *[[None]] * 39, seconds_per_page=60)
        states = read(api, {})[1]
        scan = {"scan_began": NOW, "scan_newest": "2024-05-01T00:00:00Z"}
        assert states[0] == finished(START, **scan, scan_token="20")
        assert states[-1] == finished("2024-04-30T22:20:00Z")

    def test_resume_the_scan_with_its_beginning(self):
        api = FakeApi(
            [START], ["2024-05-20T00:00:00Z", "2024-04-20T00:00:00Z"], now="2024-05-21T00:00:00Z"
        )
        dates, states = read(api, unfinished(scan_newest="2024-04-30T00:00:00Z"))
        assert (api.calls, dates) == (["1"], ["2024-05-20T00:00:00Z", "2024-04-20T00:00:00Z"])
        # The newest date is of 30 April, and the scan has taken 20 days.
        assert states == [finished("2024-04-09T23:00:00Z")]

    @pytest.mark.parametrize("token", [None, "", 5, ["1"], "\ud83d"])
    def test_without_a_valid_token_begin_a_new_scan(self, token):
        api = FakeApi(["2024-01-15T00:00:00Z", "2024-03-01T00:00:00Z"])
        dates, states = read(api, unfinished(scan_token=token))
        assert (api.calls, dates) == ([None], ["2024-03-01T00:00:00Z"])
        assert states == [finished("2024-02-29T23:00:00Z")]

    @pytest.mark.parametrize("kind", ["system_error", "transient_error"])
    def test_that_the_api_rejects_begin_a_new_scan(self, caplog, kind):
        api = FakeApi(["2024-01-15T00:00:00Z"], ["2024-03-01T00:00:00Z"])
        api.failure = ApiError("No.", FailureType(kind))
        dates, states = read(api, unfinished(scan_newest="2024-04-30T00:00:00Z"))
        assert (api.calls, dates) == (["1", None], ["2024-03-01T00:00:00Z"])
        assert states == [finished("2024-02-29T23:00:00Z")]
        assert "cannot be resumed, so a new one begins" in caplog.text

    def test_of_a_wrong_key_fail(self):
        api = FakeApi([START])
        api.failure = ApiError("No.", FailureType.config_error)
        with pytest.raises(ApiError):
            read(api, unfinished())
        assert api.calls == ["1"]


class TestNarrowScans:
    FULL = {  # noqa: RUF012
        "full_scan_began": "2024-05-31T20:00:00Z",
        "full_scan_cursor": "2024-05-31T18:00:00Z",
    }
    RECENT = "2024-05-31T23:50:00Z"

    @pytest.fixture(autouse=True)
    def _clock(self, monkeypatch):
        monkeypatch.setattr(time, "time", lambda: to_epoch(NOW))

    def state(self, cursor="2024-05-31T22:00:00Z", **changes):
        return finished(cursor, **{**self.FULL, **changes})

    def test_move_the_cursor_and_keep_the_full_scan(self):
        api = FakeApi([self.RECENT, "2024-05-31T21:59:59Z"])
        dates, states = read(api, self.state(), snipcart_full_scan_hours=24)
        assert (api.calls, dates) == (["LessThan4Hours"], [self.RECENT])
        assert states == [self.state("2024-05-31T22:50:00Z")]

    @pytest.mark.parametrize(("hours", "call"), [(4, None), (5, "LessThan4Hours"), (0, None)])
    def test_are_followed_by_a_full_scan_after_its_hours(self, hours, call):
        dates = ["2024-05-31T17:59:59Z", "2024-05-31T18:00:00Z", self.RECENT]
        api = FakeApi(dates)
        emitted, states = read(api, self.state(), snipcart_full_scan_hours=hours)
        assert api.calls == [call]
        if call is None:
            assert emitted == dates[1:]
            cursor = "2024-05-31T22:50:00Z"
            full = {"full_scan_began": NOW, "full_scan_cursor": cursor} if hours else {}
            assert states == [finished(cursor, **full)]

    @pytest.mark.parametrize(
        ("hours", "call"),
        [
            (4, "LessThan4Hours"),
            (4.01, "LessThanADay"),
            (24, "LessThanADay"),
            (24.01, "LessThanAWeek"),
            (7 * 24, "LessThanAWeek"),
            (28 * 24, "LessThanAMonth"),
            (28 * 24 + 0.01, None),
        ],
    )
    def test_use_the_narrowest_range_that_reaches_the_cursor(self, hours, call):
        cursor = from_epoch(to_epoch(NOW) - int(hours * HOUR))
        began = from_epoch(to_epoch(NOW) - int(hours * HOUR) + HOUR)
        for state in (
            self.state(cursor, full_scan_began=began, full_scan_cursor=cursor),
            # Nothing new since the full scan: the range reaches an hour before it.
            self.state(START, full_scan_began=began, full_scan_cursor=START),
        ):
            api = FakeApi([None])
            read(api, state, snipcart_full_scan_hours=720)
            assert api.calls == [call]

    @pytest.mark.parametrize(
        ("ahead", "is_service", "calls"),
        [
            (-1, True, ["LessThan4Hours"]),
            (3, True, ["LessThan4Hours", "LessThanADay"]),
            (30, True, ["LessThan4Hours", "LessThanAWeek"]),
            (800, True, ["LessThan4Hours", None]),
            (0, False, ["LessThan4Hours", None]),
        ],
    )
    def test_choose_the_range_by_the_clock_of_the_service(self, ahead, is_service, calls):
        now = from_epoch(to_epoch(NOW) + ahead * HOUR)
        api = FakeApi([self.RECENT], now=now, is_service=is_service)
        state = read(api, self.state(), snipcart_full_scan_hours=720)[1][-1]
        assert api.calls == calls
        assert ("full_scan_began" in state) == is_service

    @pytest.mark.parametrize(
        "settings",
        [
            {"snipcart_time_range": "LessThanAMonth"},
            {"snipcart_email": "ann@shop.example"},
            {"start_date": "2024-01-02"},
            {"start_date": "2023-12-31"},
        ],
    )
    def test_are_not_made_after_a_change_of_filters_or_start(self, settings):
        api = FakeApi([self.RECENT])
        read(api, self.state(), snipcart_full_scan_hours=720, **settings)
        assert api.calls == [None]

    def test_are_not_made_with_a_time_range_as_a_filter(self):
        own = {"snipcart_time_range": "LessThanAWeek"}
        state = self.state(filters=make_config(**own).fingerprint)
        api = FakeApi([self.RECENT])
        (state,) = read(api, state, snipcart_full_scan_hours=720, **own)[1]
        assert api.calls == [None]
        assert "full_scan_began" not in state

    def test_save_no_checkpoint(self):
        api = FakeApi(*[[self.RECENT]] * 50)
        assert len(read(api, self.state(), snipcart_full_scan_hours=24)[1]) == 1
