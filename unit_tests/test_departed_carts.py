"""Syncs of a shop whose carts leave the list and return. Some syncs are interrupted."""

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
from source_abandoned_carts.snipcart import Page
from source_abandoned_carts.timestamps import from_epoch
from source_abandoned_carts.windows import DAY

LISTED, HIDDEN, FINISHED, GONE = "listed", "hidden", "finished", "gone"


class Shop:
    """Snipcart's API as DepartedCarts uses it. `carts` maps each token to an outcome."""

    def __init__(self, carts):
        self.carts = carts
        self.now = 1_700_000_000
        self.missed = set()  # tokens that moved between pages during the scan
        self.listed_again = ""  # tokens that moved to a later page
        self.dates = {}  # when carts were modified, in Unix seconds
        self.failures = {}
        self.requested = []  # by the last sync

    def pages(self):
        self.requested = []
        clock = Clock(self.now, self.now + 1, True, self.now)
        tokens = [t for t, outcome in self.carts.items() if outcome == LISTED]
        carts = [self.listed(t) for t in [*tokens, *self.listed_again] if t not in self.missed]
        yield Page(carts[:3], "more", clock)
        yield Page(carts[3:], None, clock)

    def listed(self, token):
        modified = from_epoch(self.dates[token]) if token in self.dates else None
        return {"token": token, "status": "InProgress", "modificationDate": modified}

    def cart(self, token):
        self.requested.append(token)
        if token in self.failures:
            raise ApiError("No.", self.failures[token])
        assert self.carts[token] != LISTED or token in self.missed
        if self.carts[token] == GONE:
            return None
        status = "Processed" if self.carts[token] == FINISHED else "InProgress"
        return {"token": token, "status": status}


def sync(shop, state, stop_after=None):
    """Return the departures that a sync emits, and the last state."""
    records = []
    for item in islice(DepartedCarts(shop).read(state), stop_after):
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
    shop = Shop({str(number): LISTED for number in range(8)})
    _, state = sync(shop, None)
    reported = {}
    for kind, value, argument in steps:
        if kind == "set":
            shop.carts[str(value)] = argument
            continue
        shop.now += DAY
        shop.missed = {str(number) for number in argument}
        records, state = sync(shop, state, value)
        for record in records:
            outcome = shop.carts[record["token"]]
            assert outcome in (FINISHED, GONE)
            assert record["status"] == ("Processed" if outcome == FINISHED else None)
            assert record["last_seen_at"] < record["noticed_at"]
        reported |= {record["token"]: record["status"] for record in records}
    shop.missed = set()
    reported |= {record["token"]: record["status"] for record in sync(shop, state)[0]}
    for token, outcome in shop.carts.items():
        if outcome in (FINISHED, GONE):
            assert token in reported


@pytest.mark.parametrize(("days", "departures"), [(30, 1), (31, 0)])
def test_forgets_a_cart_after_30_days_off_the_list(days, departures):
    shop = Shop({"a": LISTED, "b": LISTED})
    _, state = sync(shop, None)
    shop.now += 20 * DAY
    shop.carts["a"] = HIDDEN
    _, state = sync(shop, state)
    shop.now += (days - 20) * DAY
    shop.carts["a"] = GONE
    records, state = sync(shop, state)
    assert len(records) == departures
    assert '"a"' not in json.dumps(state)


@pytest.mark.parametrize(("days", "warns"), [(30, False), (31, True), (45, True)])
def test_warns_after_a_pause_in_which_all_carts_were_forgotten(caplog, days, warns):
    shop = Shop({"a": LISTED})
    _, state = sync(shop, None)
    shop.now += days * DAY
    shop.carts["a"] = GONE
    records, _ = sync(shop, state)
    assert len(records) == (not warns)
    assert (f"was {days} days ago. Carts that left the list" in caplog.text) == warns


def test_scan_begins_by_the_first_date_that_the_service_sends():
    shop = Shop({"a": LISTED})
    pages = list(shop.pages())
    local = Clock(shop.now + 5 * DAY, shop.now + 5 * DAY + 1, False, 100.0)
    service = Clock(shop.now, shop.now + 2, True, 107.5)
    shop.pages = lambda: iter([pages[0]._replace(clock=local), pages[1]._replace(clock=service)])
    assert sync(shop, None)[1]["noticed_at"] == from_epoch(shop.now - 8)


class TestTurns:
    @pytest.fixture(autouse=True)
    def limit(self, monkeypatch):
        monkeypatch.setattr(departed_carts, "_MAX_REQUESTS", 3)

    def test_continue_after_the_last_request(self):
        shop = Shop(dict.fromkeys("abcde", LISTED))
        _, state = sync(shop, None)
        shop.carts = dict.fromkeys("abcde", HIDDEN)
        for turn in ("abc", "dea", "bcd"):
            _, state = sync(shop, state)
            assert "".join(shop.requested) == turn

    def test_begin_with_carts_that_were_never_requested(self):
        shop = Shop(dict.fromkeys("abcdefgh", LISTED))
        _, state = sync(shop, None)
        shop.carts |= dict.fromkeys("efgh", HIDDEN)
        for left, turn in (("", "efg"), ("cd", "hcd"), ("", "efg"), ("ab", "abh"), ("", "cde")):
            shop.now += 60
            shop.carts |= dict.fromkeys(left, HIDDEN)
            _, state = sync(shop, state)
            assert "".join(shop.requested) == turn

    def test_begin_anew_for_a_cart_that_was_back_on_the_list(self):
        shop = Shop(dict.fromkeys("abcde", LISTED))
        _, state = sync(shop, None)
        for listed, turn in (("", "abc"), ("a", "deb"), ("", "acd")):
            shop.now += 60
            shop.carts = {t: LISTED if t in listed else HIDDEN for t in "abcde"}
            _, state = sync(shop, state)
            assert "".join(shop.requested) == turn

    def test_begin_with_any_cart_after_a_state_without_turns(self):
        shop = Shop(dict.fromkeys("ab", HIDDEN))
        known = {from_epoch(shop.now - 60): ["b"], from_epoch(shop.now - 120): ["a"]}
        sync(shop, {"noticed_at": from_epoch(shop.now - 60), "known": known})
        assert shop.requested == ["a", "b"]


class TestFailure:
    CARTS = "abcdefg"

    def sync_with_failures(self, failures):
        """Sync when all carts are gone. Return the departures, the error and the state."""
        shop = Shop(dict.fromkeys(self.CARTS, LISTED))
        _, state = sync(shop, None)
        shop.carts = dict.fromkeys(self.CARTS, GONE)
        shop.failures = failures
        items = DepartedCarts(shop).read(state)
        records = []
        with pytest.raises(ApiError) as raised:
            records.extend(items)
        self.shop, state = shop, records.pop()
        return "".join(page[0]["token"] for page in records), raised.value.failure_type, state

    @pytest.mark.parametrize("kind", FailureType)
    def test_of_one_cart_keeps_no_other_from_its_turn(self, kind):
        departures, failure_type, state = self.sync_with_failures({"b": kind})
        assert (departures, failure_type) == ("acdefg", kind)
        self.shop.failures = {}
        assert [record["token"] for record in sync(self.shop, state)[0]] == ["b"]

    def test_of_many_carts_keeps_no_other_from_its_turn(self):
        failures = dict.fromkeys("abcdef", FailureType.system_error)
        assert self.sync_with_failures(failures)[0] == "g"

    @pytest.mark.parametrize("kind", [FailureType.transient_error, FailureType.config_error])
    def test_of_the_service_ends_the_sync_after_three_requests(self, kind):
        failures = {"a": FailureType.system_error, **dict.fromkeys("cdef", kind)}
        departures, failure_type, state = self.sync_with_failures(failures)
        assert (departures, failure_type) == ("b", kind)
        assert "".join(self.shop.requested) == "abcde"
        with pytest.raises(ApiError):
            sync(self.shop, state)
        assert "".join(self.shop.requested) == "fgacde"  # the others come first now


def known(state):
    return [token for tokens in state["known"].values() for token in tokens]


class TestKnownCarts:
    def test_are_kept_by_priority(self, monkeypatch):
        monkeypatch.setattr(departed_carts, "_MAX_REQUESTS", 2)
        shop = Shop(dict.fromkeys("abcdefg", LISTED))
        _, state = sync(shop, None)
        shop.carts |= dict.fromkeys("abc", HIDDEN)
        for limit, expected in ((7, "abcdefg"), (6, "acdefg"), (3, "cde"), (1, "c")):
            monkeypatch.setattr(departed_carts, "_MAX_KNOWN", limit)
            assert sorted(known(sync(shop, state)[1])) == sorted(expected)

    def test_are_the_newest_on_the_list(self, monkeypatch):
        monkeypatch.setattr(departed_carts, "_MAX_KNOWN", 3)
        shop = Shop({str(number): LISTED for number in range(9)})
        shop.dates = {"1": 1, "8": 2, "5": 3, "4": 0}
        assert known(sync(shop, None)[1]) == ["5", "8", "1"]

    def test_count_once_if_they_are_listed_twice(self, monkeypatch):
        monkeypatch.setattr(departed_carts, "_MAX_KNOWN", 3)
        shop = Shop(dict.fromkeys("abc", LISTED))
        shop.dates = {"a": 5, "b": 4}
        shop.listed_again = "abab"
        assert known(sync(shop, None)[1]) == ["a", "b", "c"]


class TestStateSize:
    LIMIT = 262_144

    @pytest.mark.parametrize("character", ["0", "車", "😀", '"', "\x01"])
    def test_stays_below_256_kib_whatever_tokens_hold(self, character):
        shop = Shop({f"{number:05}{character * 95}": LISTED for number in range(5_000)})
        _, state = sync(shop, None)
        size = len(json.dumps(state, ensure_ascii=False).encode())
        assert self.LIMIT - 10_000 < size < self.LIMIT

    def test_merges_the_oldest_times_before_it_leaves_out_carts(self):
        shop = Shop({})
        times = [from_epoch(shop.now - 600 * number) for number in range(30 * 144)]
        state = {"known": {time: [f"{time}0123456789abcdef"] for time in times}}
        shop.carts = dict.fromkeys(known(state), HIDDEN)
        _, shorter = sync(shop, state)
        assert len(json.dumps(shorter)) < self.LIMIT
        assert sorted(known(shorter)) == sorted(known(state))
        latest = [time for time, tokens in shorter["known"].items() if time == tokens[0][:20]]
        assert times[0] in latest
        for time, tokens in shorter["known"].items():
            assert {token[:10] for token in tokens} == {time[:10]}
            assert time == min(token[:20] for token in tokens)

    @pytest.mark.parametrize("length", [230_000, 300_000])
    def test_leaves_out_only_a_token_that_does_not_fit(self, length):
        shop = Shop({"x" * length: LISTED, **{str(n): LISTED for n in range(1_000)}})
        shop.dates = {"x" * length: 1}
        _, state = sync(shop, None)
        assert len(json.dumps(state)) < self.LIMIT
        assert {str(n) for n in range(1_000)} <= set(known(state))
        assert ("x" * length in known(state)) == (length < 260_000)
