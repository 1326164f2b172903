"""Narrow scans between full scans: their requests and records, and what full scans add."""

from datetime import timedelta

import pytest

from tools.sandbox import make_carts

from .harness import CARTS, SyncedStream


class ChangingStream(SyncedStream):
    """A stream with carts of the last months, and helpers to change them and the service's time."""

    def pass_hours(self, hours):
        """Advance the service's clock, but not the local one."""
        self.sandbox.clock_offset += hours * 3_600

    def ranges(self):
        """Return the distinct time ranges of the last sync's requests."""
        ranges = [request.query["timeRange"] for request in self.sandbox.requests]
        return list(dict.fromkeys(ranges))

    def touch(self, *indexes, days_old=100):
        """Change carts as if they were created some days ago."""
        now = self.sandbox.now()
        for index in indexes:
            cart = self.sandbox.carts[index]
            cart.created = now - timedelta(days=days_old)
            cart.document["total"] += 1
            cart.touch(now - timedelta(seconds=2))

    def missing(self):
        """Return the indexes of carts whose last version is not in the destination."""
        return [
            index
            for index, cart in enumerate(self.sandbox.carts)
            if self.table.get(cart.token, {}).get("total") != cart.document["total"]
        ]


@pytest.fixture
def make_stream(sandbox, connector):
    def make(carts=120, hours=24):
        stream = ChangingStream(sandbox, connector, CARTS, snipcart_full_scan_hours=hours)
        now = sandbox.now()
        first, last = now - timedelta(days=200), now - timedelta(days=10)
        sandbox.carts = make_carts(carts, first=first, last=last)
        return stream

    return make


def test_requests_the_narrowest_range_by_the_service_time(make_stream):
    stream = make_stream(2_000, hours=720)
    stream.sync()
    assert stream.ranges() == ["Anytime"]
    assert len(stream.sandbox.requests) > 2
    for hours, ranges in (
        (0, ["LessThan4Hours"]),
        (3.1, ["LessThan4Hours", "LessThanADay"]),
        (28 * 24, ["LessThan4Hours", "Anytime"]),
        (0, ["LessThan4Hours"]),
    ):
        stream.pass_hours(hours)
        records = stream.sync()
        assert stream.ranges() == ranges
        assert "Anytime" in ranges or (records == [] and len(stream.sandbox.requests) <= 2)
    assert stream.missing() == []


def test_sends_a_request_for_each_page_of_a_long_range(make_stream):
    stream = make_stream(2_000, hours=720)
    stream.sync()
    stream.pass_hours(10 * 24)
    stream.sync()
    first, *others = [request.query["timeRange"] for request in stream.sandbox.requests]
    assert first == "LessThan4Hours"
    assert 1 < len(others) < 6
    assert set(others) == {"LessThanAMonth"}


@pytest.mark.parametrize(("wait", "hours"), [(22, 24), (1, 0)], ids=["due", "turned off"])
@pytest.mark.parametrize("date", ["modified", "created"])
def test_full_scan_emits_what_narrow_scans_missed(make_stream, date, wait, hours):
    stream = make_stream()
    stream.sandbox.time_range_by = date
    stream.sync()
    for number in range(3):
        stream.pass_hours(1)
        if number == 0:  # the last cursor is then later than these changes
            stream.touch(0, 1, 2)
        stream.touch(3, 4, days_old=0)
        stream.sync()
        assert "Anytime" not in stream.ranges()
        assert stream.missing() == ([] if date == "modified" else [0, 1, 2])
    stream.pass_hours(wait)
    records = stream.sync(snipcart_full_scan_hours=hours)
    assert stream.ranges()[-1] == "Anytime"
    assert stream.missing() == []
    assert len(records) < 20  # not all carts, only those since the last full scan
    assert ("full_scan_began" in stream.state) == bool(hours)


@pytest.mark.parametrize("is_full", [False, True])
def test_loses_nothing_when_killed(make_stream, is_full):
    stream = make_stream(1_500)
    stream.sandbox.largest_page = 50
    stream.sync()
    stream.pass_hours(24 * is_full)
    stream.touch(*range(1_500))
    stream.sync_and_kill(records=1_050, requests=23)
    assert ("scan_token" in stream.state) is is_full  # a narrow scan starts over
    token = stream.state.get("scan_token")
    stream.sync()
    assert stream.sandbox.requests[0].query.get("continuationToken") == token
    assert stream.missing() == []
