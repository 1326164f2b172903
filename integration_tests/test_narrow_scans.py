"""Narrow scans between full scans: their requests and records, and what full scans add."""

from datetime import timedelta

import pytest

from tools.sandbox import make_carts

from . import conftest


class Shop(conftest.Shop):
    """A shop with carts of the last months, and helpers to change them and the service's time."""

    def pass_hours(self, hours: float) -> None:
        """Advance the service's clock, but not the local one."""
        self.sandbox.clock_offset += hours * 3_600

    def ranges(self) -> list[str]:
        """Return the distinct time ranges of the last sync's requests."""
        ranges = [request.query["timeRange"] for request in self.sandbox.requests]
        return list(dict.fromkeys(ranges))

    def touch(self, *indexes: int, days_old: int = 100) -> None:
        """Change carts as if they were created some days ago."""
        now = self.sandbox.now()
        for index in indexes:
            cart = self.sandbox.carts[index]
            cart.created = now - timedelta(days=days_old)
            cart.document["total"] += 1
            cart.touch(now - timedelta(seconds=2))

    def missing(self) -> list[int]:
        """Return the indexes of carts whose last version is not in the destination."""
        return [
            index
            for index, cart in enumerate(self.sandbox.carts)
            if self.table.get(cart.token, {}).get("total") != cart.document["total"]
        ]


@pytest.fixture
def make_shop(sandbox, connector):
    def make(carts: int = 120, hours: int = 24) -> Shop:
        shop = Shop(sandbox, connector, conftest.CARTS, snipcart_full_scan_hours=hours)
        now = sandbox.now()
        first, last = now - timedelta(days=200), now - timedelta(days=10)
        sandbox.carts = make_carts(carts, first=first, last=last)
        return shop

    return make


def test_requests_the_narrowest_range_by_the_service_time(make_shop):
    shop = make_shop(2_000, hours=720)
    shop.sync()
    assert shop.ranges() == ["Anytime"]
    assert len(shop.sandbox.requests) > 2
    for hours, ranges in (
        (0, ["LessThan4Hours"]),
        (3.1, ["LessThan4Hours", "LessThanADay"]),
        (28 * 24, ["LessThan4Hours", "Anytime"]),
        (0, ["LessThan4Hours"]),
    ):
        shop.pass_hours(hours)
        records = shop.sync()
        assert shop.ranges() == ranges
        assert "Anytime" in ranges or (records == [] and len(shop.sandbox.requests) <= 2)
    assert shop.missing() == []


def test_sends_a_request_for_each_page_of_a_long_range(make_shop):
    shop = make_shop(2_000, hours=720)
    shop.sync()
    shop.pass_hours(10 * 24)
    shop.sync()
    first, *others = [request.query["timeRange"] for request in shop.sandbox.requests]
    assert first == "LessThan4Hours"
    assert 1 < len(others) < 6
    assert set(others) == {"LessThanAMonth"}


@pytest.mark.parametrize(("wait", "hours"), [(22, 24), (1, 0)], ids=["due", "turned off"])
@pytest.mark.parametrize("date", ["modified", "created"])
def test_full_scan_emits_what_narrow_scans_missed(make_shop, date, wait, hours):
    shop = make_shop()
    shop.sandbox.time_range_by = date
    shop.sync()
    for _ in range(2):
        shop.pass_hours(1)
        shop.touch(0, 1, 2)
        shop.touch(3, 4, days_old=0)
        shop.sync()
        assert "Anytime" not in shop.ranges()
        assert shop.missing() == ([] if date == "modified" else [0, 1, 2])
    shop.pass_hours(wait)
    records = shop.sync(snipcart_full_scan_hours=hours)
    assert shop.ranges()[-1] == "Anytime"
    assert shop.missing() == []
    assert len(records) < 20  # not all carts, only those since the last full scan
    assert ("full_scan_began" in shop.state) == bool(hours)


@pytest.mark.parametrize("is_full", [False, True])
def test_loses_nothing_when_killed(make_shop, is_full):
    shop = make_shop(1_500)
    shop.sandbox.largest_page = 50
    shop.sync()
    shop.pass_hours(24 * is_full)
    shop.touch(*range(1_500))
    shop.sync_and_kill(records=1_050, requests=23)
    assert ("scan_token" in shop.state) is is_full  # a narrow scan starts over
    token = shop.state.get("scan_token")
    shop.sync()
    assert shop.sandbox.requests[0].query.get("continuationToken") == token
    assert shop.missing() == []
