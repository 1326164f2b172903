"""Syncs of a shop whose carts leave the list and return. Some syncs are interrupted."""

import json
from itertools import islice

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from source_abandoned_carts import departed_carts
from source_abandoned_carts.departed_carts import DepartedCarts
from source_abandoned_carts.http import Clock
from source_abandoned_carts.snipcart import Page
from source_abandoned_carts.windows import DAY

LISTED, HIDDEN, FINISHED, GONE = "listed", "hidden", "finished", "gone"


class Shop:
    """Snipcart's API as DepartedCarts uses it. `carts` maps each token to an outcome."""

    def __init__(self, carts: dict[str, str]) -> None:
        self.carts = carts
        self.now = 1_700_000_000
        self.missed: set[str] = set()  # tokens that moved between pages during the scan

    def pages(self):
        clock = Clock(self.now, self.now + 1, is_service=True)
        tokens = [t for t, outcome in self.carts.items() if outcome == LISTED]
        carts = [{"token": t, "status": "InProgress"} for t in tokens if t not in self.missed]
        yield Page(carts[:3], "more", clock)
        yield Page(carts[3:], None, clock)

    def cart(self, token):
        assert self.carts[token] != LISTED or token in self.missed
        if self.carts[token] == GONE:
            return None
        status = "Processed" if self.carts[token] == FINISHED else "InProgress"
        return {"token": token, "status": status}


def sync(shop: Shop, state, stop_after=None):
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
    reported: dict[str, str | None] = {}
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


def test_state_stays_below_256_kb_with_long_tokens():
    shop = Shop({f"{number:0100}": LISTED for number in range(6_000)})
    _, state = sync(shop, None)
    assert 200_000 < len(json.dumps(state)) < 256 * 1024


def test_carts_in_progress_do_not_keep_others_from_being_requested(monkeypatch):
    others = [str(number) for number in range(6)]
    shop = Shop({"bought": LISTED})
    _, state = sync(shop, None)
    shop.now += 1
    shop.carts = {"bought": FINISHED, **dict.fromkeys(others, LISTED)}
    monkeypatch.setattr(departed_carts, "_MAX_REQUESTS", 0)  # so that the cart waits
    _, state = sync(shop, state)
    monkeypatch.setattr(departed_carts, "_MAX_REQUESTS", 3)
    shop.carts |= dict.fromkeys(others, HIDDEN)
    records = []
    for _ in range(60):
        found, state = sync(shop, state)
        records += found
    assert [record["token"] for record in records] == ["bought"]
