"""Syncs of a list whose carts leave it and return. Some syncs are interrupted."""

import json
from itertools import islice

import pytest
from airbyte_cdk.models import FailureType
from hypothesis import given, settings
from hypothesis import strategies as st

from source_abandoned_carts import departed_carts
from source_abandoned_carts.departed_carts import DepartedCarts
from source_abandoned_carts.errors import ApiError
from source_abandoned_carts.http import Clock
from source_abandoned_carts.timestamps import from_epoch
from source_abandoned_carts.windows import DAY

from .fake_snipcart import FINISHED, GONE, HIDDEN, LISTED, FakeSnipcart


def sync(snipcart, state, stop_after=None):
    """Return the departures that a sync emits, and the last state."""
    records = []
    for item in islice(DepartedCarts(snipcart).read(state), stop_after):
        if isinstance(item, dict):
            state = json.loads(json.dumps(item))
        else:
            records += item
    return records, state


steps = st.one_of(
    st.tuples(st.just("set"), st.integers(0, 7), st.sampled_from([LISTED, HIDDEN, FINISHED, GONE])),
    st.tuples(st.just("sync"), st.sampled_from([None, 0, 1, 2]), st.sets(st.integers(0, 7))),
)


@settings(max_examples=200, deadline=None, derandomize=True, database=None)
@given(st.lists(steps, max_size=30))
def test_reports_each_final_departure_and_nothing_else(steps):
    snipcart = FakeSnipcart({str(number): LISTED for number in range(8)})
    _, state = sync(snipcart, None)
    reported = {}
    for kind, value, argument in steps:
        if kind == "set":
            snipcart.carts[str(value)] = argument
            continue
        snipcart.now += DAY
        snipcart.missed = {str(number) for number in argument}
        records, state = sync(snipcart, state, value)
        for record in records:
            outcome = snipcart.carts[record["token"]]
            assert outcome in (FINISHED, GONE)
            assert record["status"] == ("Processed" if outcome == FINISHED else None)
            assert record["last_seen_at"] < record["noticed_at"]
        reported |= {record["token"]: record["status"] for record in records}
    snipcart.missed = set()
    reported |= {record["token"]: record["status"] for record in sync(snipcart, state)[0]}
    for token, outcome in snipcart.carts.items():
        if outcome in (FINISHED, GONE):
            assert token in reported


@pytest.mark.parametrize(("days", "departures"), [(30, 1), (31, 0)])
def test_forgets_a_cart_after_30_days_off_the_list(days, departures):
    snipcart = FakeSnipcart({"a": LISTED, "b": LISTED})
    _, state = sync(snipcart, None)
    snipcart.now += 20 * DAY
    snipcart.carts["a"] = HIDDEN
    _, state = sync(snipcart, state)
    snipcart.now += (days - 20) * DAY
    snipcart.carts["a"] = GONE
    records, state = sync(snipcart, state)
    assert len(records) == departures
    assert '"a"' not in json.dumps(state)


@pytest.mark.parametrize(("days", "warns"), [(30, False), (31, True), (45, True)])
def test_warns_after_a_pause_in_which_all_carts_were_forgotten(caplog, days, warns):
    snipcart = FakeSnipcart({"a": LISTED})
    _, state = sync(snipcart, None)
    snipcart.now += days * DAY
    snipcart.carts["a"] = GONE
    records, _ = sync(snipcart, state)
    assert len(records) == (not warns)
    assert (f"was {days} days ago. Carts that left the list" in caplog.text) == warns


def test_scan_begins_by_the_first_date_that_the_service_sends():
    snipcart = FakeSnipcart({"a": LISTED})
    pages = list(snipcart.pages())
    local = Clock(snipcart.now + 5 * DAY, snipcart.now + 5 * DAY + 1, False, 100.0)
    service = Clock(snipcart.now, snipcart.now + 2, True, 107.5)
    snipcart.pages = lambda: iter(
        [pages[0]._replace(clock=local), pages[1]._replace(clock=service)]
    )
    assert sync(snipcart, None)[1]["noticed_at"] == from_epoch(snipcart.now - 8)


class TestTurns:
    @pytest.fixture(autouse=True)
    def limit(self, monkeypatch):
        monkeypatch.setattr(departed_carts, "_MAX_REQUESTS", 3)

    def test_continue_after_the_last_request(self):
        snipcart = FakeSnipcart(dict.fromkeys("abcde", LISTED))
        _, state = sync(snipcart, None)
        snipcart.carts = dict.fromkeys("abcde", HIDDEN)
        for turn in ("abc", "dea", "bcd"):
            _, state = sync(snipcart, state)
            assert "".join(snipcart.requested) == turn

    def test_begin_with_carts_that_were_never_requested(self):
        snipcart = FakeSnipcart(dict.fromkeys("abcdefgh", LISTED))
        _, state = sync(snipcart, None)
        snipcart.carts |= dict.fromkeys("efgh", HIDDEN)
        for left, turn in (("", "efg"), ("cd", "hcd"), ("", "efg"), ("ab", "abh"), ("", "cde")):
            snipcart.now += 60
            snipcart.carts |= dict.fromkeys(left, HIDDEN)
            _, state = sync(snipcart, state)
            assert "".join(snipcart.requested) == turn

    def test_begin_anew_for_a_cart_that_was_back_on_the_list(self):
        snipcart = FakeSnipcart(dict.fromkeys("abcde", LISTED))
        _, state = sync(snipcart, None)
        for listed, turn in (("", "abc"), ("a", "deb"), ("", "acd")):
            snipcart.now += 60
            snipcart.carts = {t: LISTED if t in listed else HIDDEN for t in "abcde"}
            _, state = sync(snipcart, state)
            assert "".join(snipcart.requested) == turn

    def test_begin_with_any_cart_after_a_state_without_turns(self):
        snipcart = FakeSnipcart(dict.fromkeys("ab", HIDDEN))
        known = {from_epoch(snipcart.now - 60): ["b"], from_epoch(snipcart.now - 120): ["a"]}
        sync(snipcart, {"noticed_at": from_epoch(snipcart.now - 60), "known": known})
        assert snipcart.requested == ["a", "b"]


class TestFailure:
    TOKENS = "abcdefg"

    def sync_with_failures(self, failures):
        """Sync when all carts are gone. Return the departures, the error and the state."""
        snipcart = FakeSnipcart(dict.fromkeys(self.TOKENS, LISTED))
        _, state = sync(snipcart, None)
        snipcart.carts = dict.fromkeys(self.TOKENS, GONE)
        snipcart.failures = failures
        items = DepartedCarts(snipcart).read(state)
        records = []
        with pytest.raises(ApiError) as raised:
            records.extend(items)
        self.snipcart, state = snipcart, records.pop()
        return "".join(page[0]["token"] for page in records), raised.value.failure_type, state

    @pytest.mark.parametrize("kind", FailureType)
    def test_of_one_cart_keeps_no_other_from_its_turn(self, kind):
        departures, failure_type, state = self.sync_with_failures({"b": kind})
        assert (departures, failure_type) == ("acdefg", kind)
        self.snipcart.failures = {}
        assert [record["token"] for record in sync(self.snipcart, state)[0]] == ["b"]

    @pytest.mark.parametrize("kind", [FailureType.system_error, FailureType.config_error])
    def test_of_many_carts_keeps_no_other_from_its_turn(self, kind):
        failures = dict.fromkeys("abcdef", kind)
        assert self.sync_with_failures(failures)[0] == "g"

    def test_of_the_service_ends_the_sync_after_three_requests(self):
        kind = FailureType.transient_error
        failures = {"a": FailureType.system_error, **dict.fromkeys("cdef", kind)}
        departures, failure_type, state = self.sync_with_failures(failures)
        assert (departures, failure_type) == ("b", kind)
        assert "".join(self.snipcart.requested) == "abcde"
        with pytest.raises(ApiError):
            sync(self.snipcart, state)
        assert "".join(self.snipcart.requested) == "fgacde"  # the others come first now


def known(state):
    return [token for tokens in state["known"].values() for token in tokens]


class TestKnownCarts:
    def test_are_kept_by_priority(self, monkeypatch):
        monkeypatch.setattr(departed_carts, "_MAX_REQUESTS", 2)
        snipcart = FakeSnipcart(dict.fromkeys("abcdefg", LISTED))
        _, state = sync(snipcart, None)
        snipcart.carts |= dict.fromkeys("abc", HIDDEN)
        for limit, expected in ((7, "abcdefg"), (6, "acdefg"), (3, "cde"), (1, "c")):
            monkeypatch.setattr(departed_carts, "_MAX_KNOWN", limit)
            assert sorted(known(sync(snipcart, state)[1])) == sorted(expected)

    def test_are_the_newest_on_the_list(self, monkeypatch):
        monkeypatch.setattr(departed_carts, "_MAX_KNOWN", 3)
        snipcart = FakeSnipcart({str(number): LISTED for number in range(9)})
        snipcart.dates = {"1": 1, "8": 2, "5": 3, "4": 0}
        assert known(sync(snipcart, None)[1]) == ["5", "8", "1"]

    def test_of_short_tokens_take_no_place_of_longer_ones(self, monkeypatch):
        monkeypatch.setattr(departed_carts, "_MAX_STATE", 140)
        snipcart = FakeSnipcart(dict.fromkeys(["x" * 60, "y" * 60, "z"], LISTED))
        snipcart.dates = {"x" * 60: 3, "y" * 60: 2, "z": 1}
        assert known(sync(snipcart, None)[1]) == ["x" * 60]

    def test_count_once_if_they_are_listed_twice(self, monkeypatch):
        monkeypatch.setattr(departed_carts, "_MAX_KNOWN", 3)
        snipcart = FakeSnipcart(dict.fromkeys("abc", LISTED))
        snipcart.dates = {"a": 5, "b": 4}
        snipcart.listed_again = "abab"
        assert known(sync(snipcart, None)[1]) == ["a", "b", "c"]


class TestStateSize:
    LIMIT = 262_144

    @pytest.mark.parametrize("character", ["0", "車", "😀", '"', "\x01"])
    def test_stays_below_256_kib_whatever_tokens_hold(self, character):
        snipcart = FakeSnipcart({f"{number:05}{character * 95}": LISTED for number in range(5_000)})
        _, state = sync(snipcart, None)
        size = len(json.dumps(state, ensure_ascii=False).encode())
        assert self.LIMIT - 10_000 < size < self.LIMIT

    def test_merges_the_oldest_times_before_it_leaves_out_carts(self):
        snipcart = FakeSnipcart({})
        times = [from_epoch(snipcart.now - 600 * number) for number in range(30 * 144)]
        state = {"known": {time: [f"{time}0123456789abcdef"] for time in times}}
        snipcart.carts = dict.fromkeys(known(state), HIDDEN)
        _, shorter = sync(snipcart, state)
        assert len(json.dumps(shorter)) < self.LIMIT
        assert sorted(known(shorter)) == sorted(known(state))
        latest = [time for time, tokens in shorter["known"].items() if time == tokens[0][:20]]
        assert times[0] in latest
        for time, tokens in shorter["known"].items():
            assert {token[:10] for token in tokens} == {time[:10]}
            assert time == min(token[:20] for token in tokens)

    @pytest.mark.parametrize("length", [230_000, 300_000])
    def test_leaves_out_only_a_token_that_does_not_fit(self, length):
        snipcart = FakeSnipcart({"x" * length: LISTED, **{str(n): LISTED for n in range(1_000)}})
        snipcart.dates = {"x" * length: 1}
        _, state = sync(snipcart, None)
        assert len(json.dumps(state)) < self.LIMIT
        assert {str(n) for n in range(1_000)} <= set(known(state))
        assert ("x" * length in known(state)) == (length < 260_000)
