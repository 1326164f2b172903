import logging

import pytest
from airbyte_cdk.models import FailureType

from source_abandoned_carts.abandoned_carts import AbandonedCarts
from source_abandoned_carts.errors import ApiError
from source_abandoned_carts.http import Clock
from source_abandoned_carts.timestamps import from_epoch, to_epoch

from .fake_snipcart import FakeSnipcart
from .helpers import make_config

START = "2024-01-01T00:00:00Z"
NOW = "2024-06-01T00:00:00Z"
HOUR = 3_600
DAY = 24 * HOUR


class PagesOfDates(FakeSnipcart):
    """A list with carts that were modified at these dates."""

    def __init__(self, *pages, **attributes):
        super().__init__({})
        self.dates_of_pages, self.now = pages, to_epoch(NOW)
        vars(self).update(attributes)

    def listed_pages(self):
        return [[{"modificationDate": date} for date in dates] for dates in self.dates_of_pages]


def read(api, state, **settings):
    """Return the dates of the emitted carts, and the states."""
    dates, states = [], []
    for item in AbandonedCarts(api, make_config(**settings)).read(state):
        if isinstance(item, dict):
            states.append(item)
        else:
            dates += [cart["modificationDate"] for cart in item]
    return dates, states


def finished(cursor, **changes):
    filters = make_config().fingerprint
    return {"modificationDate": cursor, "filters": filters, "start": START, **changes}


def unfinished(**changes):
    scan = {"scan_token": "1", "scan_began": "2024-05-01T00:00:00Z", **changes}
    return {**finished("2024-02-01T00:00:00Z"), **scan}


class TestCursor:
    def test_precedes_the_newest_date_by_an_hour_and_the_duration(self):
        dates = ["2024-03-01T00:00:00Z", "2024-02-01T00:00:00Z"]
        assert read(PagesOfDates(dates), {}) == (dates, [finished("2024-02-29T23:00:00Z")])
        api = PagesOfDates(dates, [None], seconds_per_page=300)
        assert read(api, {})[1] == [finished("2024-02-29T22:50:00Z")]

    def test_ignores_dates_after_the_scan_began(self):
        for date, cursor in (
            (NOW, "2024-05-31T23:00:00Z"),
            ("2024-06-01T00:00:00.001Z", "2024-04-30T23:00:00Z"),
        ):
            dates = ["2024-05-01T00:00:00Z", date]
            assert read(PagesOfDates(dates), {}) == (dates, [finished(cursor)])

    @pytest.mark.parametrize("state", [finished("2024-05-31T23:30:00Z"), {}])
    def test_never_goes_back_and_is_not_moved_by_undated_carts(self, state):
        dates = [None, "2024-05-31T23:45:00Z"] if state else [None]
        assert read(PagesOfDates(dates), state) == (dates, [state])

    def test_carts_modified_at_the_cursor_or_later_are_emitted(self):
        dates = ["2024-02-01T00:00:00Z", "2024-02-01T00:00:00.500Z", "2024-02-01T00:00:00.4999Z"]
        assert read(PagesOfDates(dates), finished("2024-02-01T00:00:00.5Z"))[0] == [dates[1]]

    @pytest.mark.parametrize(("seconds", "is_future"), [(0, False), (1, True)])
    def test_future_cursor_keeps_the_state(self, caplog, seconds, is_future):
        state = finished(from_epoch(to_epoch(NOW) + seconds), other="kept")
        dates, states = read(PagesOfDates([None]), state)
        assert (dates, states == [state]) == ([] if is_future else [None], is_future)
        assert ("is in the future" in caplog.text) == is_future

    def test_unfinished_first_scan_of_a_future_start_date_resumes(self):
        future = "2999-01-01T00:00:00Z"
        state = unfinished(modificationDate=future, start=future)
        assert read(PagesOfDates([], [None]), state, start_date=future)[0] == [None]


class TestBeginningWithoutDateHeaders:
    """The local clock is 20 days ahead. `are_service` says which responses have a Date header."""

    FUTURE = "2024-06-10T00:00:00Z"  # by the service's clock
    PAGES = (["2024-05-01T00:00:00Z"], [FUTURE], ["2024-05-02T00:00:00Z"], [None])

    def read(self, are_service, state=None):
        api = PagesOfDates(*self.PAGES[: len(are_service)], seconds_per_page=60)
        pages = api.pages

        def without_dates(token=None, time_range=None):
            first = int(token or 0)
            for page, is_service in zip(pages(token), are_service[first:], strict=True):
                sent_at, received_at, _, monotonic = page.clock
                local = Clock(sent_at + 20 * DAY, received_at + 20 * DAY, False, monotonic)
                yield page if is_service else page._replace(clock=local)

        api.pages = without_dates
        (state,) = read(api, state or {})[1]
        return state

    @pytest.mark.parametrize(
        ("are_service", "cursor"),
        [
            ([False, True], "2024-04-30T22:58:00Z"),
            ([False, True, False], "2024-05-01T22:57:00Z"),
            ([False, False, False, True], "2024-05-01T22:56:00Z"),
            ([True, False, False], "2024-05-01T22:57:00Z"),
        ],
    )
    def test_is_what_the_first_date_allows(self, caplog, are_service, cursor):
        assert self.read(are_service) == finished(cursor)
        assert "no Date header" not in caplog.text

    def test_is_local_with_a_warning_if_no_response_has_a_date(self, caplog):
        assert self.read([False, False, False]) == finished("2024-06-09T22:57:00Z")
        assert "no Date header" in caplog.text

    def test_of_a_resumed_scan_is_limited_by_a_date(self):
        state = unfinished(scan_began="2024-06-21T00:00:00Z", scan_newest=self.FUTURE)
        assert self.read([False, False, True], state) == finished("2024-05-01T22:58:00Z")

    def test_of_a_resumed_scan_is_kept_without_dates(self):
        state = unfinished(scan_began="2024-06-20T00:00:00Z", scan_newest=self.FUTURE)
        assert self.read([False, False], state) == finished("2024-06-08T22:59:00Z")


class TestState:
    @pytest.mark.parametrize(
        "state",
        [
            {"modificationDate": None},
            finished("2024-03-01T00:00:00Z", start="then"),
            finished("2024-03-01T00:00:00Z", full_scan_began={}),
            unfinished(scan_began="soon"),
        ],
    )
    def test_invalid_state_reads_all_carts(self, caplog, state):
        api = PagesOfDates([START])
        assert read(api, state) == ([START], [finished("2023-12-31T23:00:00Z")])
        assert api.scans == [None]
        assert "does not match the settings" in caplog.text

    @pytest.mark.parametrize(
        ("changes", "settings", "reads_all"),
        [
            ({}, {}, False),
            ({}, {"snipcart_minimal_value": 5}, True),
            ({"filters": None}, {}, True),
            ({}, {"start_date": "2023-12-31T23:59:59Z"}, True),
            ({}, {"start_date": "2024-01-02"}, False),
        ],
    )
    def test_new_filters_or_an_earlier_start_read_all_carts(self, changes, settings, reads_all):
        dates = ["2024-01-31T00:00:00Z", "2024-02-01T00:00:00Z"]
        state = finished("2024-02-01T00:00:00Z", **changes)
        assert read(PagesOfDates(dates), state, **settings)[0] == dates[0 if reads_all else 1 :]
        api = PagesOfDates([START], dates)
        read(api, {**unfinished(), **changes}, **settings)
        assert api.scans == [None if reads_all else "1"]

    def test_state_without_filters_and_start_counts_as_unchanged(self):
        dates = ["2024-01-31T00:00:00Z", "2024-03-01T00:00:00Z", "2024-03-15T00:00:00Z"]
        state = {"modificationDate": "2024-02-01T00:00:00Z"}
        assert read(PagesOfDates(dates), state)[0] == dates[1:]
        assert read(PagesOfDates(dates), state, start_date="2024-03-15")[0] == dates[2:]


class TestCheckpoint:
    @pytest.mark.parametrize("size", [0, 50, 400, 500])
    def test_saved_every_1000_carts_and_every_20_pages(self, size):
        pages = [["2023-01-01T00:00:00Z"] * size] * 70  # none is emitted
        page = saved = 0
        for item in AbandonedCarts(PagesOfDates(*pages), make_config()).read({}):
            if not isinstance(item, dict):
                assert list(item) == []
                page += 1
                assert (page - saved) * size <= 1_000
                assert page - saved <= 20
            elif "scan_token" in item:
                saved = page
                assert item["scan_token"] == str(page)
        assert page == 70

    def test_full_refresh_saves_none(self):
        assert len(read(PagesOfDates(*[[START]] * 50), None)[1]) == 1

    def test_resumed_scan_keeps_its_beginning(self):
        dates = ["2024-05-20T00:00:00Z", "2024-04-20T00:00:00Z"]
        api = PagesOfDates([START], dates, now=to_epoch("2024-05-21T00:00:00Z"))
        state = unfinished(scan_newest="2024-04-30T00:00:00Z")
        # Until the scan began, the newest date was 30 April. The scan has taken 20 days.
        assert read(api, state) == (dates, [finished("2024-04-09T23:00:00Z")])
        assert api.scans == ["1"]

    @pytest.mark.parametrize(
        ("token", "failure", "calls"),
        [
            (5, None, [None]),
            ("1", FailureType.system_error, ["1", None]),
            ("1", FailureType.transient_error, ["1", None]),
        ],
    )
    def test_scan_starts_over_if_it_cannot_resume(self, caplog, token, failure, calls):
        api = PagesOfDates(["2024-01-15T00:00:00Z"], ["2024-03-01T00:00:00Z"])
        if failure:
            api.failures["1"] = failure
        state = unfinished(scan_token=token, scan_newest="2024-04-30T00:00:00Z")
        expected = [finished("2024-02-29T23:00:00Z")]
        assert read(api, state) == (["2024-03-01T00:00:00Z"], expected)
        assert api.scans == calls
        warning = "cannot resume the last scan of abandoned_carts (no usable response) and starts"
        assert (warning in caplog.text) == bool(failure)

    @pytest.mark.parametrize(
        ("state", "said"),
        [
            ({}, "reads the whole list."),
            (
                unfinished(),
                "resumes the scan of the whole list that began at 2024-05-01T00:",
            ),
            (
                finished("2024-05-31T22:00:00Z", full_scan_began="2024-05-31T20:00:00Z"),
                "reads the time range LessThan4Hours, a narrow scan.",
            ),
        ],
    )
    def test_log_says_what_is_read(self, caplog, state, said):
        caplog.set_level(logging.INFO)
        read(PagesOfDates([], []), state, snipcart_full_scan_hours=24)
        assert f"abandoned_carts {said}" in caplog.text

    def test_wrong_key_fails_without_starting_over(self):
        api = PagesOfDates([START], failures={"1": FailureType.config_error})
        with pytest.raises(ApiError):
            read(api, unfinished())
        assert api.scans == ["1"]


class TestNarrowScan:
    RECENT = "2024-05-31T23:50:00Z"

    def state(self, cursor="2024-05-31T22:00:00Z", began="2024-05-31T20:00:00Z", **changes):
        full = {"full_scan_began": began, "full_scan_cursor": "2024-05-31T18:00:00Z"}
        return finished(cursor, **{**full, **changes})

    def test_moves_the_cursor_and_keeps_the_full_scan(self):
        api = PagesOfDates([self.RECENT, "2024-05-31T21:59:59Z"], *[[None]] * 50)
        dates, states = read(api, self.state(), snipcart_full_scan_hours=24)
        assert (api.scans, dates) == (["LessThan4Hours"], [self.RECENT] + [None] * 50)
        assert states == [self.state("2024-05-31T22:50:00Z")]  # there are no checkpoints

    @pytest.mark.parametrize(("hours", "is_full"), [(0, True), (4, True), (5, False)])
    def test_due_full_scan_starts_at_the_last_full_scan(self, hours, is_full):
        api = PagesOfDates(["2024-05-31T17:59:59Z", "2024-05-31T18:00:00Z", self.RECENT])
        dates, (state,) = read(api, self.state(), snipcart_full_scan_hours=hours)
        assert (api.scans[-1] is None) == is_full
        assert len(dates) == (2 if is_full else 1)
        if is_full:
            cursor = "2024-05-31T22:50:00Z"
            full = {"full_scan_began": NOW, "full_scan_cursor": cursor} if hours else {}
            assert state == finished(cursor, **full)

    def test_full_scan_without_the_service_time_is_followed_by_another(self):
        api = PagesOfDates([self.RECENT], sends_date=False)
        _, (state,) = read(api, {}, snipcart_full_scan_hours=24)
        assert "full_scan_began" not in state

    @pytest.mark.parametrize(
        ("hours", "time_range"),
        [
            (4, "LessThan4Hours"),
            (4.01, "LessThanADay"),
            (7 * 24, "LessThanAWeek"),
            (28 * 24, "LessThanAMonth"),
            (28 * 24 + 0.01, None),
        ],
    )
    def test_reaches_back_to_the_cursor_or_the_full_scan(self, hours, time_range):
        cursor = from_epoch(to_epoch(NOW) - int(hours * HOUR))
        began = from_epoch(to_epoch(NOW) - int(hours * HOUR) + HOUR)
        for saved in (cursor, START):
            api = PagesOfDates([None])
            read(api, self.state(saved, began), snipcart_full_scan_hours=720)
            assert api.scans[-1] == time_range
            assert len(api.scans) <= 2

    @pytest.mark.parametrize(
        ("is_service", "settings"),
        [
            (False, {}),
            (True, {"start_date": "2024-01-02"}),
            (True, {"snipcart_time_range": "LessThanAWeek"}),
        ],
    )
    def test_requires_the_service_time_and_no_new_start_or_range(self, is_service, settings):
        api = PagesOfDates([self.RECENT], sends_date=is_service)
        state = self.state(filters=make_config(**settings).fingerprint)
        read(api, state, snipcart_full_scan_hours=720, **settings)
        assert api.scans[-1] is None
