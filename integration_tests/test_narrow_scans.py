"""Narrow scans between full ones: what is requested, what is emitted, what a full scan repairs."""

from datetime import timedelta
from typing import Any

import pytest

from sandbox import Sandbox, make_carts
from sandbox.data import FORMS

from .conftest import Connector, Output, read_and_kill

STREAM = "abandoned_carts"


class Shop:
    """A sandbox whose carts are of the last months, read into a destination that merges by key."""

    def __init__(self, sandbox: Sandbox, connector: Connector, carts: int, hours: int) -> None:
        self.sandbox = sandbox
        self.connector = connector
        self.config = {**sandbox.config, "snipcart_full_scan_hours": hours}
        now = sandbox.now()
        forms = [form for form in FORMS if "seconds" not in form]
        first, last = now - timedelta(days=200), now - timedelta(days=10)
        sandbox.carts = make_carts(carts, 1, first, last, forms)
        self.table: dict[str, Any] = {}
        self.state: dict[str, Any] = {}

    def sync(self, **settings: Any) -> Output:
        """Sync; the sandbox's requests are those of this sync."""
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
        """Advance the service's clock; this machine's stays behind."""
        self.sandbox.clock_offset += hours * 3_600

    def ranges(self) -> list[str]:
        """The time ranges of the last sync's requests, without repetitions."""
        ranges = [request.query["timeRange"] for request in self.sandbox.requests]
        return [name for name, last in zip(ranges, ["", *ranges], strict=False) if name != last]

    def touch(self, *indexes: int, days_old: int = 100) -> None:
        """Change carts that were created some days ago."""
        now = self.sandbox.now()
        for index in indexes:
            cart = self.sandbox.carts[index]
            cart.created = now - timedelta(days=days_old)
            cart.document["total"] += 1
            cart.touch(now - timedelta(seconds=2))

    def missing(self) -> list[int]:
        """The indexes of the carts whose last version the destination lacks."""
        return [
            index
            for index, cart in enumerate(self.sandbox.carts)
            if self.table.get(cart.token, {}).get("total") != cart.document["total"]
        ]


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
def test_requests_two_pages_at_most_when_nothing_is_new(make_shop, quiet_days):
    shop = make_shop(20_000)
    shop.pass_hours(24 * quiet_days)
    shop.sync()
    assert shop.ranges() == ["Anytime"]
    output = shop.sync()
    assert len(shop.sandbox.requests) <= 2
    assert output.records(STREAM) == []
    assert shop.missing() == []


@pytest.mark.parametrize(
    ("hours", "ranges"),
    [
        (0, ["LessThan4Hours"]),
        (2.9, ["LessThan4Hours"]),
        (3.1, ["LessThan4Hours", "LessThanADay"]),
        (23.1, ["LessThan4Hours", "LessThanAWeek"]),
        (167.1, ["LessThan4Hours", "LessThanAMonth"]),
        (28 * 24 - 0.9, ["LessThan4Hours", "Anytime"]),
        (720, ["LessThan4Hours", "Anytime"]),
    ],
)
def test_range_covers_the_time_since_the_last_scan_by_the_services_clock(make_shop, hours, ranges):
    shop = make_shop(hours=720)
    shop.sync()
    shop.pass_hours(hours)
    shop.sync()
    assert shop.ranges() == ranges


@pytest.mark.parametrize("date", ["modified", "created"])
@pytest.mark.parametrize("is_turned_off", [False, True])
def test_full_scan_emits_what_narrow_scans_missed(make_shop, date, is_turned_off):
    shop = make_shop(hours=24, time_range_by=date)
    shop.sync()
    for _ in range(3):
        shop.pass_hours(1)
        shop.touch(0, 1, 2)
        shop.touch(3, 4, days_old=0)
        shop.sync()
        assert "Anytime" not in shop.ranges()
        assert shop.missing() == ([] if date == "modified" else [0, 1, 2])
    shop.pass_hours(1 if is_turned_off else 22)
    output = shop.sync(snipcart_full_scan_hours=0 if is_turned_off else 24)
    assert shop.ranges()[-1] == "Anytime"
    assert shop.missing() == []
    assert len(output.records(STREAM)) < 20  # the carts since the last full scan, not all
    assert ("full_scan_began" in shop.state) is not is_turned_off


@pytest.mark.parametrize(
    "change", [{"start_date": "2024-01-02"}, {"snipcart_minimal_value": 1}, {"tells_time": False}]
)
def test_changed_settings_or_no_date_header_mean_a_full_scan(make_shop, change):
    shop = make_shop(hours=100)
    shop.sync()
    shop.sync()
    assert shop.ranges() == ["LessThan4Hours"]
    shop.sandbox.tells_time = change.pop("tells_time", True)
    shop.sync(**change)
    assert shop.ranges()[-1] == "Anytime"


def test_time_range_set_as_a_filter_stays_as_it_is(make_shop):
    shop = make_shop(hours=100)
    for hours in (0, 1, 40):
        shop.pass_hours(hours)
        shop.sync(snipcart_time_range="LessThanAWeek")
        assert shop.ranges() == ["LessThanAWeek"]


@pytest.mark.parametrize("is_full", [False, True])
def test_loses_nothing_when_killed(make_shop, is_full):
    shop = make_shop(1500, hours=24)
    shop.sandbox.largest_page = 50
    shop.sync()
    if is_full:
        shop.pass_hours(24)
    shop.touch(*range(1500))
    messages = read_and_kill(
        shop.connector, shop.sandbox, shop.config, STREAM,
        state=shop.state, records=1050, requests=23,
    )  # fmt: skip
    shop.merge(messages)
    assert ("scan_token" in shop.state) is is_full  # a narrow scan starts over
    token = shop.state.get("scan_token")
    shop.sync()
    assert shop.sandbox.requests[0].query.get("continuationToken") == token
    assert shop.missing() == []
