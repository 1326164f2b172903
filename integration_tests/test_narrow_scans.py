"""Narrow scans between full ones: what is asked for, what comes, and what a full one makes good."""

import json
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from sandbox import Sandbox, make_carts
from sandbox.data import FORMS

from .conftest import Connector, Output, read_and_kill
from .test_abandoned_carts import instant

STREAM = "abandoned_carts"
HOUR = 3_600


class Shop:
    """A sandbox whose carts are of the last months, read into a destination that merges by key."""

    def __init__(self, sandbox: Sandbox, connector: Connector, carts: int, hours: int) -> None:
        self.sandbox = sandbox
        self.connector = connector
        self.config = {**sandbox.config, "snipcart_full_scan_hours": hours}
        now = sandbox.now()
        forms = [form for form in FORMS if "seconds" not in form]
        ended = now - timedelta(days=10)
        sandbox.carts = make_carts(carts, 1, now - timedelta(days=200), ended, forms)
        self.touch(0)
        self.table: dict[str, Any] = {}
        self.state: dict[str, Any] = {}

    def sync(self, **settings: Any) -> Output:
        """Sync; the requests are those of this sync."""
        del self.sandbox.requests[:]
        config = {**self.config, **settings}
        output = self.connector.read(config, STREAM, state={STREAM: self.state})
        assert output.code == 0, output.text
        self.merge(output.messages)
        return output

    def merge(self, messages: list[dict[str, Any]]) -> None:
        for message in messages:
            if message["type"] == "RECORD":
                cart = message["record"]["data"]
                self.table[cart["token"]] = cart
            elif message["type"] == "STATE":
                self.state = message["state"]["stream"]["stream_state"]

    def pass_hours(self, hours: float) -> None:
        """Let time pass by the server's clock; that of this machine does not know."""
        self.sandbox.clock_offset += hours * HOUR

    def asked(self) -> list[str]:
        """The time ranges of the last sync's requests, without repetitions."""
        ranges = [request.query["timeRange"] for request in self.sandbox.requests]
        return [name for name, last in zip(ranges, ["", *ranges], strict=False) if name != last]

    def touch(self, *indexes: int, days_old: int = 100) -> list[str]:
        """Change carts that were created some days ago; give their tokens."""
        now = self.sandbox.now()
        for index in indexes:
            cart = self.sandbox.carts[index]
            cart.created = now - timedelta(days=days_old)
            cart.document["creationDate"] = FORMS["iso3"](cart.created)
            cart.document["total"] += 1
            cart.touch(now - timedelta(seconds=2))
        return [self.sandbox.carts[index].token for index in indexes]

    def missing(self) -> set[str]:
        """The carts that the destination lacks, or holds in an older version."""
        return {
            cart.token
            for cart in self.sandbox.carts
            if self.table.get(cart.token, {}).get("total") != cart.document["total"]
        }


@pytest.fixture
def make_shop(make_sandbox, lead_to):
    def make(carts: int = 120, hours: int = 24, **options: Any) -> Shop:
        sandbox = make_sandbox(0)
        for name, value in options.items():
            assert hasattr(sandbox, name)
            setattr(sandbox, name, value)
        return Shop(sandbox, lead_to(sandbox), carts, hours)

    return make


@pytest.mark.parametrize("quiet_days", [0, 300])
def test_a_sync_with_nothing_new_asks_twice_at_most(make_sandbox, lead_to, quiet_days):
    sandbox = make_sandbox(0)
    shop = Shop(sandbox, lead_to(sandbox), 20_000, 24)
    shop.pass_hours(24 * quiet_days)
    shop.sync(snipcart_page_size=500)
    assert len(sandbox.requests) == 40
    output = shop.sync()
    assert len(sandbox.requests) <= 2
    assert len(output.records(STREAM)) <= 2  # the newest one, and what has its date
    assert shop.missing() == set()


@pytest.mark.parametrize(
    ("hours", "asked"),
    [
        (0, ["LessThan4Hours"]),
        (2.9, ["LessThan4Hours"]),
        (3.1, ["LessThan4Hours", "LessThanADay"]),
        (22.9, ["LessThan4Hours", "LessThanADay"]),
        (23.1, ["LessThan4Hours", "LessThanAWeek"]),
        (166.9, ["LessThan4Hours", "LessThanAWeek"]),
        (167.1, ["LessThan4Hours", "LessThanAMonth"]),
        (28 * 24 - 1.1, ["LessThan4Hours", "LessThanAMonth"]),
        (28 * 24 - 0.9, ["LessThan4Hours", "Anytime"]),
        (720, ["LessThan4Hours", "Anytime"]),
    ],
)
def test_the_range_covers_the_time_since_the_cursor_by_the_servers_clock(make_shop, hours, asked):
    shop = make_shop(hours=720)
    shop.touch(*range(len(shop.sandbox.carts)))
    shop.sync()
    assert shop.asked() == ["Anytime"]
    shop.pass_hours(hours)
    shop.sync()
    assert shop.asked() == asked


def test_the_range_goes_back_to_the_newest_change_and_not_to_the_last_scan(make_shop):
    """A cart may come onto the list some time after its change."""
    shop = make_shop()
    shop.pass_hours(48)
    shop.sync()
    late = shop.sandbox.carts[5]
    late.document["total"] += 1
    late.touch(shop.sandbox.now() - timedelta(hours=40))
    shop.sync()
    assert shop.asked() == ["LessThan4Hours", "LessThanAWeek"]
    assert shop.missing() == set()


def test_the_whole_list_is_read_when_its_hours_are_over(make_shop):
    shop = make_shop(hours=5)
    shop.sync()
    first = shop.state["full_scan"]
    shop.pass_hours(4.9)
    shop.touch(0)
    shop.sync()
    assert "Anytime" not in shop.asked()
    assert shop.state["full_scan"] == first
    shop.pass_hours(0.2)
    shop.sync()
    assert shop.asked()[-1] == "Anytime"
    assert shop.state["full_scan"]["began"] > first["began"]


@pytest.mark.parametrize("date", ["modified", "created"])
@pytest.mark.parametrize("off", [False, True])
def test_a_full_scan_passes_on_what_narrow_ones_have_missed(make_shop, date, off):
    shop = make_shop(hours=24, time_range_by=date)
    shop.sync()
    assert shop.missing() == set()
    for _ in range(3):
        shop.pass_hours(1)
        old, new = set(shop.touch(0, 1, 2)), set(shop.touch(3, 4, days_old=0))
        shop.sync()
        assert "Anytime" not in shop.asked()
        assert set(shop.table) >= new
        assert shop.missing() == (set() if date == "modified" else old)
    shop.pass_hours(1 if off else 22)
    output = shop.sync(snipcart_full_scan_hours=0 if off else 24)
    assert shop.asked()[-1] == "Anytime"
    assert shop.missing() == set()
    assert len(output.records(STREAM)) < 20  # those of the time since the last one, not all
    if off:
        assert set(shop.state) == {"modificationDate"}


def test_a_state_from_before_means_a_full_scan_first(make_shop):
    shop = make_shop()
    shop.sync(snipcart_full_scan_hours=0)
    assert set(shop.state) == {"modificationDate"}
    shop.touch(0)
    output = shop.sync()
    assert shop.asked() == ["Anytime"]
    assert len(output.records(STREAM)) < 20
    shop.sync()
    assert shop.asked() == ["LessThan4Hours"]


def test_undated_carts_come_with_full_scans(make_shop):
    shop = make_shop(hours=24)
    shop.sync()
    del shop.sandbox.carts[9].document["modificationDate"]
    shop.sandbox.carts[9].modified = None
    shop.sandbox.carts[9].document["total"] += 1
    shop.sync()
    assert shop.missing() == {shop.sandbox.carts[9].token}
    shop.pass_hours(24)
    shop.sync()
    assert shop.missing() == set()


@pytest.mark.parametrize("own", ["LessThan4Hours", "LessThanAWeek"])
def test_a_range_set_as_a_filter_stays_as_it_is(make_shop, own):
    shop = make_shop(hours=100)
    for hours in (0, 1, 40):
        shop.pass_hours(hours)
        shop.sync(snipcart_time_range=own)
        assert shop.asked() == [own]


def test_without_the_servers_clock_each_scan_is_a_full_one(make_shop):
    shop = make_shop(tells_time=False)
    for _ in range(2):
        shop.sync()
        assert shop.asked() == ["Anytime"]
    shop.sandbox.tells_time = True
    shop.sync()
    assert shop.asked() == ["Anytime"]
    shop.sandbox.tells_time = False
    shop.sync()
    assert shop.asked() == ["LessThan4Hours", "Anytime"]


def test_a_full_refresh_reads_the_whole_list(make_shop):
    shop = make_shop()
    shop.sync()
    del shop.sandbox.requests[:]
    state = {STREAM: shop.state}
    output = shop.connector.read(shop.config, STREAM, state=state, mode="full_refresh")
    assert len(output.records(STREAM)) == len(shop.sandbox.carts)
    assert shop.asked() == ["Anytime"]


@pytest.mark.parametrize("date", ["modified", "created"])
@pytest.mark.parametrize("full", [False, True])
def test_kill_9_in_the_middle_loses_nothing(make_shop, date, full):
    shop = make_shop(1500, hours=24, time_range_by=date)
    shop.sync()
    old = set(shop.touch(*range(100)))
    new = set(shop.touch(*range(100, 1500), days_old=0))
    if full:
        shop.pass_hours(1)
        shop.sync()
        shop.pass_hours(24)
        new = set(shop.touch(*range(100, 1500), days_old=0))
    kill(shop)
    assert shop.state["scan"]["time_range"] == (None if full else "LessThan4Hours")
    assert len(json.dumps(shop.state)) < 1000
    place = shop.state["scan"]["token"]
    shop.sync()
    assert shop.sandbox.requests[0].query["continuationToken"] == place
    assert shop.asked() == ["Anytime" if full else "LessThan4Hours"]
    assert len(shop.sandbox.requests) < 25
    assert shop.missing() == (old if date == "created" and not full else set())
    assert not new & shop.missing()
    assert "scan" not in shop.state


def kill(shop: Shop) -> None:
    """Sync, and kill the connector in the middle of the list."""
    messages = read_and_kill(
        shop.connector, shop.sandbox, shop.config, STREAM,
        state=shop.state, records=700, requests=18,
    )  # fmt: skip
    shop.merge(messages)


def test_a_place_whose_range_no_longer_goes_back_far_enough_is_given_up(make_shop):
    shop = make_shop(1500, hours=100)
    shop.sync()
    shop.touch(*range(1500))
    kill(shop)
    shop.pass_hours(6)
    output = shop.sync()
    assert shop.asked() == ["LessThan4Hours", "LessThanADay"]
    assert "its time range has moved on" in output.logs("WARN")[0]
    assert shop.missing() == set()


def test_a_narrow_place_is_given_up_when_the_setting_is_turned_off(make_shop):
    shop = make_shop(1500, hours=100, time_range_by="created")
    shop.sync()
    shop.touch(*range(100))
    shop.touch(*range(100, 1500), days_old=0)
    kill(shop)
    output = shop.sync(snipcart_full_scan_hours=0)
    assert shop.asked() == ["Anytime"]
    assert "the whole list is to be read now" in output.logs("WARN")[0]
    assert shop.missing() == set()


def test_a_scan_that_takes_hours_asks_for_a_wider_range(make_shop):
    """A destination may be slow, and the range's beginning moves with the clock."""
    shop = make_shop(300, hours=100)
    shop.sync()
    shop.touch(*range(300))
    shop.sandbox.before = lambda request: shop.pass_hours(0.9)
    shop.sync()
    assert shop.asked() == ["LessThan4Hours", "LessThanADay"]
    assert shop.missing() == set()


@pytest.mark.parametrize(
    "saved", [None, 5, {}, {"began": "then", "cursor": "2026-01-01T00:00:00Z"}]
)
def test_a_state_that_cannot_be_read_means_all_carts(make_shop, saved):
    shop = make_shop()
    shop.sync()
    shop.state["full_scan"] = saved
    output = shop.sync()
    assert len(output.records(STREAM)) == len(shop.sandbox.carts)
    assert len(output.logs("WARN")) == 1
    began = instant(shop.state["full_scan"]["began"])
    assert began > datetime.now(timezone.utc) - timedelta(minutes=5)
