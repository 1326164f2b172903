from typing import Any

import pytest
from airbyte_cdk.models import FailureType

from source_abandoned_carts.abandoned_carts import AbandonedCarts
from source_abandoned_carts.checkpoint import Checkpoint
from source_abandoned_carts.http import ApiError
from source_abandoned_carts.snipcart import Page
from source_abandoned_carts.timestamps import from_epoch, to_epoch

START = "2024-01-01T00:00:00Z"
NOW = "2024-06-01T00:00:00Z"


class FakeApi:
    """Pages of carts by index; the token of a page is its index as text."""

    def __init__(self, *pages: list[str | None], size: int = 1, now: str = NOW) -> None:
        self._pages = pages
        self._size = size
        self._now = to_epoch(now)
        self.asked: list[str | None] = []
        self.time_ranges: list[str | None] = []
        self.failure: ApiError | None = None
        self.dated = True

    def page(self, token: str | None, time_range: str | None = None) -> Page:
        self.asked.append(token)
        self.time_ranges.append(time_range)
        if self.failure is not None:
            failure, self.failure = self.failure, None
            raise failure
        index = int(token or 0)
        dates = self._pages[index] * self._size
        carts: list[dict[str, Any]] = [{"modificationDate": date} for date in dates]
        following = str(index + 1) if index + 1 < len(self._pages) else None
        return Page(carts, following, self._now - 1, self._now + 1, self.dated)


def read(api, state, start=START):
    items = list(AbandonedCarts(api, start, "filters").read(state))
    pages = [item for item in items if not isinstance(item, Checkpoint)]
    dates = [cart["modificationDate"] for page in pages for cart in page]
    return dates, [item.state for item in items if isinstance(item, Checkpoint)]


def place(token="1", **changes):
    scan = {"token": token, "filters": "filters", "began": "2024-05-01T00:00:00Z", **changes}
    return {"modificationDate": "2024-02-01T00:00:00Z", "scan": scan}


def test_the_cursor_is_the_newest_date_but_not_after_the_scan_began():
    dates = ["2024-03-01T00:00:00Z", "2024-02-01T00:00:00Z"]
    assert read(FakeApi(dates), {}) == (dates, [{"modificationDate": dates[0]}])
    later = "2024-07-01T00:00:00Z"
    assert read(FakeApi([later]), {})[1] == [{"modificationDate": "2024-05-31T23:59:59Z"}]


def test_the_cursor_never_goes_back():
    state = {"modificationDate": "2024-05-31T23:59:59.9Z"}
    assert read(FakeApi(["2024-05-31T23:59:59.95Z"]), state)[1] == [state]


def test_a_state_just_behind_the_servers_clock_is_not_in_the_future():
    # The clock is told in whole seconds, and the beginning of a scan lies a little before it.
    state = {"modificationDate": "2024-06-01T00:00:00.9Z"}
    assert read(FakeApi([None]), state)[0] == [None]
    assert read(FakeApi([None]), {"modificationDate": "2024-06-01T00:00:02Z"}) == (
        [],
        [{"modificationDate": "2024-06-01T00:00:02Z"}],
    )


def test_a_later_start_date_counts_more_than_an_older_cursor():
    dates = ["2024-03-01T00:00:00Z", "2024-04-01T00:00:00Z"]
    state = {"modificationDate": "2024-02-01T00:00:00Z"}
    assert read(FakeApi(dates), state, "2024-03-15T00:00:00Z")[0] == dates[1:]


@pytest.mark.parametrize("size", [1, 50, 499, 500])
def test_a_place_is_saved_at_least_every_1000_carts_and_never_ahead(size):
    pages = [[START]] * (3000 // size)
    given = saved = 0
    for item in AbandonedCarts(FakeApi(*pages, size=size), START, "filters").read({}):
        if not isinstance(item, Checkpoint):
            given += len(item)
            assert given - saved <= 1000
        elif "scan" in item.state:
            saved = given
            assert int(item.state["scan"]["token"]) * size == given
    assert given == len(pages) * size


def test_pages_larger_than_that_are_each_followed_by_a_place():
    _, states = read(FakeApi([START], [START], [START], size=2000), {})
    assert [state.get("scan", {}).get("token") for state in states] == ["1", "2", None]


def test_a_place_is_saved_though_no_cart_is_passed_on():
    old = "2023-01-01T00:00:00Z"
    dates, states = read(FakeApi(*[[old]] * 5, size=400), {})
    assert dates == []
    assert [state.get("scan", {}).get("token") for state in states] == ["1", "2", "3", "4", None]
    assert states[-1] == {}


def test_a_full_refresh_saves_no_place():
    assert len(read(FakeApi(*[[START]] * 5, size=400), None)[1]) == 1


def test_a_scan_is_taken_up_at_its_place_with_its_beginning_and_its_newest():
    api = FakeApi([START], ["2024-05-20T00:00:00Z"])
    dates, states = read(api, place(newest="2024-03-01T00:00:00Z"))
    assert (api.asked, dates) == (["1"], ["2024-05-20T00:00:00Z"])
    assert states == [{"modificationDate": "2024-05-01T00:00:00Z"}]
    api = FakeApi([START], [None])
    _, states = read(api, place(newest="2024-03-01T00:00:00Z"))
    assert states == [{"modificationDate": "2024-03-01T00:00:00Z"}]


@pytest.mark.parametrize(
    "scan",
    [
        None, 5, "x", [], {}, {"token": "1"},
        place(began="then")["scan"], place(token=1)["scan"], place(token="")["scan"],
        place(filters="others")["scan"], place(filters=None)["scan"],
        place(time_range=[])["scan"], place(time_range="\ud83d")["scan"],
        place(time_range="Anytime")["scan"],
    ],
)  # fmt: skip
def test_a_place_that_does_not_fit_means_a_fresh_scan_from_the_last_cursor(scan):
    api = FakeApi(["2024-01-15T00:00:00Z", "2024-03-01T00:00:00Z"], [None])
    dates, states = read(api, {**place(), "scan": scan})
    assert api.asked == [None, "1"]
    assert dates == ["2024-03-01T00:00:00Z", None]
    assert states == [{"modificationDate": "2024-03-01T00:00:00Z"}]


@pytest.mark.parametrize(
    ("status", "failure_type", "fresh"),
    [
        (400, FailureType.system_error, True),
        (404, FailureType.system_error, True),
        (422, FailureType.system_error, True),
        (500, FailureType.transient_error, True),
        (429, FailureType.transient_error, True),
        (None, FailureType.transient_error, True),
        (401, FailureType.config_error, False),
        (403, FailureType.config_error, False),
        (302, FailureType.system_error, False),
        (None, FailureType.system_error, False),
    ],
)
def test_only_some_failures_mean_an_unknown_place(status, failure_type, fresh):
    api = FakeApi([START], [START])
    api.failure = ApiError("No.", failure_type, status)
    if fresh:
        read(api, place())
        assert api.asked == ["1", None, "1"]
    else:
        with pytest.raises(ApiError):
            read(api, place())
        assert api.asked == ["1"]


def test_a_cursor_that_is_no_date_reads_all_again(caplog):
    dates, states = read(FakeApi([START]), {"modificationDate": "then"})
    assert (dates, states) == ([START], [{"modificationDate": START}])
    assert "is no date" in caplog.text


# Narrow scans

FULL = {"began": "2024-05-31T20:00:00Z", "cursor": "2024-05-31T19:00:00Z"}
AFTER_FULL = {"modificationDate": "2024-05-31T23:00:00Z", "full_scan": FULL}
RECENT = "2024-05-31T23:30:00Z"


def scan(api, state, hours=24, time_range="Anytime"):
    return list(AbandonedCarts(api, START, "filters", time_range, hours).read(state))


def test_a_narrow_scan_moves_the_cursor_alone():
    api = FakeApi([RECENT, "2024-05-31T22:00:00Z"])
    page, checkpoint = scan(api, AFTER_FULL)
    assert api.time_ranges == ["LessThan4Hours"]
    assert page == [{"modificationDate": RECENT}]
    assert checkpoint.state == {"modificationDate": RECENT, "full_scan": FULL}


def test_a_full_scan_goes_back_to_the_newest_change_that_the_last_one_saw():
    """Not to its beginning: a cart may come onto the list some time after its change."""
    dates = ["2024-05-31T18:59:59Z", "2024-05-31T19:30:00Z", RECENT]
    page, checkpoint = scan(FakeApi(dates), AFTER_FULL, hours=4)
    assert [cart["modificationDate"] for cart in page] == dates[1:]
    full = {"began": "2024-05-31T23:59:59Z", "cursor": RECENT}
    assert checkpoint.state == {"modificationDate": RECENT, "full_scan": full}


def test_the_newest_of_a_full_scan_may_be_older_than_that_of_narrow_ones():
    """The newest cart may have been bought, and what comes onto the list late is older still."""
    _, checkpoint = scan(FakeApi(["2024-05-31T22:30:00Z"]), AFTER_FULL, hours=4)
    assert checkpoint.state["modificationDate"] == "2024-05-31T23:00:00Z"
    assert checkpoint.state["full_scan"]["cursor"] == "2024-05-31T22:30:00Z"


@pytest.mark.parametrize(
    ("hours", "asked"),
    [
        (0, ["LessThan4Hours"]),
        (3, ["LessThan4Hours"]),
        (3.01, ["LessThan4Hours", "LessThanADay"]),
        (23, ["LessThan4Hours", "LessThanADay"]),
        (23.01, ["LessThan4Hours", "LessThanAWeek"]),
        (7 * 24 - 1, ["LessThan4Hours", "LessThanAWeek"]),
        (7 * 24 - 0.99, ["LessThan4Hours", "LessThanAMonth"]),
        (28 * 24 - 1, ["LessThan4Hours", "LessThanAMonth"]),
        (28 * 24 - 0.99, ["LessThan4Hours", "LessThanADay"]),  # so long since the full scan
        (9999, ["LessThan4Hours", "LessThanADay"]),
    ],
)
def test_a_range_goes_back_to_the_cursor_and_an_hour_more(hours, asked):
    cursor = from_epoch(to_epoch(NOW) + 1 - int(hours * 3600))
    state = {"modificationDate": cursor, "full_scan": {**FULL, "cursor": cursor}}
    api = FakeApi([RECENT])
    scan(api, state, hours=720)
    assert api.time_ranges == asked


def test_a_range_that_goes_back_to_the_full_scan_has_an_hour_more_too():
    old = "2023-01-01T00:00:00Z"
    state = {"modificationDate": old, "full_scan": {**FULL, "cursor": old}}
    api = FakeApi([RECENT], now="2024-05-31T23:30:00Z")
    scan(api, state)
    assert api.time_ranges == ["LessThan4Hours", "LessThanADay"]


@pytest.mark.parametrize(("hours", "full"), [(4, True), (4.01, False), (5, False)])
def test_a_full_scan_is_made_when_its_hours_are_over(hours, full):
    api = FakeApi([RECENT], now=from_epoch(to_epoch(NOW) - 1))
    scan(api, AFTER_FULL, hours=hours)
    assert api.time_ranges == (["LessThan4Hours", None] if full else ["LessThan4Hours"])


class RestlessApi(FakeApi):
    """At each request its clock is another one, None for one that is not told."""

    def __init__(self, *pages, hours):
        super().__init__(*pages)
        self._hours = iter(hours)
        self._noon = self._now

    def page(self, token, time_range=None):
        hour = next(self._hours, 0)
        self.dated = hour is not None
        self._now = self._noon + int((hour or 0) * 3600)
        return super().page(token, time_range)


@pytest.mark.parametrize(
    ("hours", "asked"),
    [
        # Asking takes so long that the next range is needed.
        ([0, 5, 30], [(None, "4H"), ("1", "4H"), (None, "Day"), (None, "Week"), ("1", "Week")]),
        ([3, 30, 30, 30], [(None, "4H"), (None, "Day"), (None, "Week"), ("1", "Week")]),
        # Clocks that differ from page to page, or are not told on some, lead to no loop.
        ([0, 4, 0, 4, 0, 4], [(None, "4H"), ("1", "4H"), (None, "Day"), ("1", "Day")]),
        ([4, 0, 4, 0, 4, 0], [(None, "4H"), (None, "Day"), ("1", "Day")]),
        ([0, None, 0, None], [(None, "4H"), ("1", "4H"), (None, None), ("1", None)]),
        ([None, 0, 0, 0], [(None, "4H"), (None, None), ("1", None)]),
        ([0, 800, 0, 0], [(None, "4H"), ("1", "4H"), (None, None), ("1", None)]),
        ([-9, 0, 0, 0], [(None, "4H"), (None, None), ("1", None)]),
    ],
)
def test_a_range_that_turns_out_too_short_is_widened_and_never_narrowed(hours, asked):
    api = RestlessApi([RECENT], [RECENT], hours=hours)
    *_, checkpoint = scan(api, AFTER_FULL, hours=720)
    short = {None: None, "LessThan4Hours": "4H", "LessThanADay": "Day", "LessThanAWeek": "Week"}
    assert [*zip(api.asked, map(short.get, api.time_ranges), strict=True)] == asked
    assert set(checkpoint.state) == {"modificationDate", "full_scan"}


@pytest.mark.parametrize(
    ("time_range", "state", "hours", "asked"),
    [
        ("LessThan4Hours", {}, 24, [("1", "LessThan4Hours")]),
        ("LessThanAWeek", {}, 24, [("1", "LessThanAWeek")]),  # wider than needed does, too
        (None, {}, 24, [("1", None)]),
        ("LessThan4Hours", {"modificationDate": "2024-05-31T19:00:00Z"}, 24,
         [("1", "LessThan4Hours"), (None, "LessThanADay")]),
        ("LessThan4Hours", {}, 1, [("1", "LessThan4Hours"), (None, None)]),
        ("LessThan4Hours", {}, 0, [(None, None)]),
    ],
)  # fmt: skip
def test_a_place_is_taken_up_if_its_range_still_does(time_range, state, hours, asked, caplog):
    api = FakeApi([RECENT], [RECENT], now=NOW)
    saved = {"token": "1", "filters": "filters", "began": RECENT, "time_range": time_range}
    scan(api, {**AFTER_FULL, **state, "scan": saved}, hours=hours)
    assert [*zip(api.asked, api.time_ranges, strict=True)][: len(asked)] == asked
    assert ("cannot be taken up" in caplog.text) == (asked[-1][0] is None)


@pytest.mark.parametrize("own", ["LessThan4Hours", "LessThanAMonth"])
def test_a_range_set_as_a_filter_is_neither_widened_nor_narrowed(own):
    """A cart that a narrow scan misses might have left it before the next full scan."""
    api = FakeApi([RECENT])
    *_, checkpoint = scan(api, AFTER_FULL, hours=24, time_range=own)
    assert api.time_ranges == [None]
    assert checkpoint.state == {"modificationDate": RECENT}


@pytest.mark.parametrize(
    "saved",
    [None, 5, {}, {**FULL, "began": "then"}, {**FULL, "cursor": None},
     {**FULL, "cursor": "2024-05-31T23:00:01Z"}],
)  # fmt: skip
def test_a_full_scan_that_cannot_be_read_means_all_carts(saved, caplog):
    scan_place = place()["scan"]
    api = FakeApi([START, RECENT])
    page, _ = scan(api, {**AFTER_FULL, "full_scan": saved, "scan": scan_place})
    assert (api.asked, len(page)) == ([None], 2)
    assert "all carts are read again" in caplog.text


def test_nothing_is_told_of_a_full_scan_where_the_setting_is_off():
    for hours, keys in ((0, {"modificationDate"}), (1, {"modificationDate", "full_scan"})):
        _, checkpoint = scan(FakeApi([RECENT]), {}, hours=hours)
        assert set(checkpoint.state) == keys
    _, checkpoint = scan(FakeApi([None]), {}, hours=1)
    assert checkpoint.state == {}


def test_a_clock_that_went_back_means_a_full_scan():
    api = FakeApi([RECENT], now="2024-05-31T19:00:00Z")
    assert scan(api, AFTER_FULL)[-1].state == AFTER_FULL
    assert api.time_ranges == ["LessThan4Hours", None]


def test_a_place_holds_the_beginning_of_its_scan_and_not_that_of_its_page():
    api = RestlessApi(*[[START] * 300] * 3, hours=[0, 1, 2])
    *_, place_saved, _, _ = scan(api, {}, hours=0)
    assert place_saved.state["scan"]["began"] == "2024-05-31T23:59:59Z"
