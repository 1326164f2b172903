"""Syncs of shops that change, with random examples.

`make test` runs the same examples each time. To run new and more examples:
HYPOTHESIS_PROFILE=campaign .venv/bin/python -m pytest unit_tests/test_properties.py
"""

import json
import os
from functools import lru_cache
from itertools import islice
from types import SimpleNamespace
from typing import NamedTuple
from unittest import mock

from airbyte_cdk.models import FailureType
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from source_abandoned_carts import abandoned_carts, cart_stats, departed_carts
from source_abandoned_carts.abandoned_carts import AbandonedCarts
from source_abandoned_carts.cart_stats import CartStats
from source_abandoned_carts.departed_carts import DepartedCarts
from source_abandoned_carts.errors import ApiError
from source_abandoned_carts.http import Clock
from source_abandoned_carts.retargeting import Counts
from source_abandoned_carts.snipcart import TIME_RANGES, Page
from source_abandoned_carts.timestamps import from_epoch, sort_key, to_epoch
from source_abandoned_carts.windows import DAY

from .fake_snipcart import HIDDEN, LISTED, FakeSnipcart
from .helpers import make_config

settings.register_profile(
    "default",
    max_examples=100,
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
settings.register_profile(
    "campaign", settings.get_profile("default"), max_examples=20_000, derandomize=False
)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))

HOUR = 3_600_000  # milliseconds
MONTH = 28 * 24 * HOUR
FIRST_DAY = to_epoch("2024-01-01T00:00:00Z")
make_config = lru_cache(make_config)


class Version(NamedTuple):
    """A cart as it is on the list from `listed` on; None after it left the list."""

    listed: int
    cart: dict | None
    modified: int = 0
    rank: float = 0  # position on the list


class ChangingList:
    """A list of carts that changes at random, and Snipcart's API for it. Times are milliseconds.

    A cart appears on the list at most an hour after its modification date. The clock that writes
    modification dates can differ by some minutes.
    """

    def __init__(self, random):
        self.random = random
        self.time = 1_700_000_000_000
        self.clock_difference = self.random.choice([-180_000, -2_000, 0, 0, 2_000, 180_000])
        self.time_range_filters_by = self.random.choice(["modified", "created", "nothing"])
        self.dates = self.random.choice(["sent", "sent", "sent", "not sent", "not sent at first"])
        # Without any Date header, a local clock that is ahead can lose carts.
        is_ahead = self.dates == "not sent at first"
        self.local_clock_difference = self.random.choice([0, 5 * HOUR]) if is_ahead else 0
        self.merges_by_date = self.random.random() < 0.3  # in the destination
        self.is_calm = False
        self.generation = 0  # of the valid tokens
        self.versions = []  # one list for each cart
        self.created = []
        self.changes = 0
        for _ in range(self.random.randint(0, 30)):
            self.change()

    def change(self):
        self.time += self.random.choice([0, 0, 1, 1_000, 1_000, 60_000])
        number = self.random.randint(0, 2 * len(self.versions))
        if number >= len(self.versions):
            number = len(self.versions)
            self.created.append(self.time)
            self.versions.append([])
        elif self.random.random() < 0.2:
            self.versions[number].append(Version(self.time, None))
            return
        modified, listed = self.time + self.clock_difference, self.time
        match self.random.randint(0, 9):
            case 0:  # backdated
                modified = self.time - self.random.choice([1, HOUR // 2, HOUR])
            case 1:  # listed late
                listed = max(listed, modified + self.random.choice([1, HOUR // 2, HOUR]))
            case 2:  # dated in the future
                modified += self.random.choice([1, 60_000, 2 * HOUR, 30 * MONTH])
        if self.merges_by_date:
            modified = max([modified, *[version.modified for version in self.versions[number]]])
        has_date = self.merges_by_date or self.random.random() < 0.9
        cart = {
            "token": number,
            "modificationDate": rfc3339(modified) if has_date else None,
            "version": len(self.versions[number]),
            "value": self.random.randint(0, 9),
        }
        self.changes += 1
        rank = self.random.random() + self.changes / 1e9  # no two are equal
        self.versions[number].append(Version(listed, cart, modified, rank))

    def listed(self, minimal_value=0, time_range=None):
        """Return the versions that are on the list now, in order."""
        found = []
        for versions in self.versions:
            version = next((v for v in reversed(versions) if v.listed <= self.time), None)
            if version and version.cart and version.cart["value"] >= minimal_value:
                found.append(version)
        return sorted(filter(lambda v: self.matches(time_range, v), found), key=lambda v: v.rank)

    def matches(self, time_range, version):
        if time_range is None:
            return True
        if self.time_range_filters_by == "nothing":
            return self.random.random() < 0.5
        is_modified = self.time_range_filters_by == "modified"
        date = version.modified if is_modified else self.created[version.cart["token"]]
        return self.time - date <= TIME_RANGES[time_range] * 1_000

    def pages(self, minimal_value, token, time_range):
        generation, rank = json.loads(token) if token else (self.generation, 0)
        sends_date = self.dates == "sent"
        while True:
            if generation != self.generation:
                raise ApiError("The token is not known.", FailureType.system_error, 400)
            sent = self.time
            self.time += 0 if self.is_calm else self.random.choice([0, 0, 500, 3_000])
            rest = [v for v in self.listed(minimal_value, time_range) if v.rank >= rank]
            size = 8 if self.is_calm else self.random.randint(0, 8)
            rank = rest[size].rank if len(rest) > size else None
            if rank is None and not sends_date and self.dates == "not sent at first":
                rank = 2  # an empty page follows
            next_token = None if rank is None else json.dumps([generation, rank])
            clock = self.clock(sent, sends_date)
            sends_date = self.dates != "not sent"
            yield Page([dict(version.cart) for version in rest[:size]], next_token, clock)
            if rank is None:
                return
            if not self.is_calm:
                for _ in range(self.random.randint(0, 2)):
                    self.change()
                if self.random.random() < 0.05:
                    self.wait()

    def clock(self, sent, sends_date):
        difference = 0 if sends_date else self.local_clock_difference
        times = [(sent + difference) // 1_000, (self.time + difference) // 1_000 + 1]
        return Clock(*times, sends_date, sent / 1_000)

    def wait(self):
        self.time += self.random.choice([0, 0, 1, 3, 4, 23, 150, 700]) * HOUR


def rfc3339(milliseconds):
    seconds, rest = divmod(milliseconds, 1_000)
    return f"{from_epoch(seconds)[:-1]}.{rest:03}Z".replace(".000Z", "Z")


def sync(listing, state, destination, config, stop_after=None):
    """Read carts into the destination, which merges them by key. Return the last state.

    The destination receives only some of the carts that follow the last state.
    """

    def write(carts):
        for cart in carts:
            old = destination.get(cart["token"])
            if not (listing.merges_by_date and old) or (
                sort_key(cart["modificationDate"]) >= sort_key(old["modificationDate"])
            ):
                destination[cart["token"]] = cart

    minimal_value = float(config.filters.get("minimalValue", 0))
    api = SimpleNamespace(
        pages=lambda token=None, time_range=None: listing.pages(minimal_value, token, time_range)
    )
    unsaved = []
    for number, item in enumerate(AbandonedCarts(api, config).read(state), start=1):
        if isinstance(item, dict):
            state = json.loads(json.dumps(item))
            write(unsaved)
            unsaved = []
        else:
            unsaved += item
        if number == stop_after:
            break
    write(unsaved[: listing.random.randint(0, len(unsaved))])
    assert len(json.dumps(state)) < 1_000
    return state


@mock.patch.multiple(abandoned_carts, _CARTS_BETWEEN_STATES=10, _PAGES_BETWEEN_STATES=3)
@settings(max_examples=3 * settings.default.max_examples)
@given(st.randoms(use_true_random=False), st.integers(0, 8))
def test_destination_becomes_equal_to_the_list(random, syncs):
    listing = ChangingList(random)
    choice = listing.random.choice
    state, destination = {}, {}
    hours = [0, 24, 720, 720]
    changes = {"start_date": "2020-01-01", "snipcart_full_scan_hours": choice(hours)}
    for _ in range(syncs):
        config = make_config(**changes)
        state = sync(listing, state, destination, config, choice([None, *range(1, 12)]))
        for _ in range(listing.random.randint(0, 4)):
            listing.change()
        listing.wait()
        change = choice(["nothing", "nothing", "nothing", "hours", "filters", "start"])
        if change == "hours":
            changes["snipcart_full_scan_hours"] = choice(hours)
        elif change == "filters":
            changes["snipcart_minimal_value"] = choice([0, 3, 6])
        elif change == "start":
            start = choice(
                [listing.time, *[versions[-1].modified for versions in listing.versions]]
            )
            changes["start_date"] = from_epoch(min(start, listing.time) // 1_000)
        listing.generation += choice([0, 0, 0, 1])
    config = make_config(**{**changes, "snipcart_full_scan_hours": 0})
    listing.is_calm = True
    if "scan_token" in state:  # a resumed scan does not read all pages
        state = sync(listing, state, destination, config)
    sync(listing, state, destination, config)
    for _, cart, *_ in listing.listed(changes.get("snipcart_minimal_value", 0)):
        modified = cart["modificationDate"]
        if modified is None or sort_key(modified) >= sort_key(config.start):
            assert destination.get(cart["token"]) == cart


def sync_departed(snipcart, state, seconds, tokens):
    """Sync some seconds later, with these carts on the list. The others stay in progress."""
    snipcart.now += seconds
    snipcart.carts = dict.fromkeys(snipcart.carts, HIDDEN) | dict.fromkeys(tokens, LISTED)
    *records, state = DepartedCarts(snipcart).read(state)
    assert records == []
    return json.loads(json.dumps(state))


def known_tokens(state):
    return [token for tokens in state.get("known", {}).values() for token in tokens]


listed_tokens = st.lists(st.text(min_size=1), max_size=30, unique=True).flatmap(
    lambda tokens: st.lists(
        st.tuples(st.sampled_from([60, DAY]), st.lists(st.sampled_from(tokens or ["a"])))
    )
)


@mock.patch.multiple(departed_carts, _MAX_REQUESTS=3, _MAX_KNOWN=8)
@given(listed_tokens)
def test_missing_carts_are_requested_in_turns(syncs):
    snipcart, state, turns = FakeSnipcart({}), {}, []
    for seconds, tokens in syncs:
        missing = set(known_tokens(state)) - set(tokens)
        # A cart that was back on the list begins anew, and one that was left out is forgotten.
        turns = [token for token in turns if token in missing]
        earlier = len(turns)
        state = sync_departed(snipcart, state, seconds, tokens)
        turns += snipcart.requested
        assert len(turns) - earlier == min(3, len(missing))
        for number, token in enumerate(turns[earlier:], start=earlier):
            before = turns[:number]
            if token in before:  # all others were requested since then
                last = number - before[::-1].index(token)
                assert missing - {token} <= set(before[last:])
        known = known_tokens(state)
        assert len(known) == len(set(known)) == min(8, len(missing | set(tokens)))


@mock.patch.multiple(departed_carts, _MAX_STATE=100)
@given(listed_tokens)
def test_state_holds_as_many_known_carts_as_fit(syncs):
    snipcart, state = FakeSnipcart({}), {}
    for seconds, tokens in syncs:
        candidates = {*known_tokens(state), *tokens}
        state = sync_departed(snipcart, state, seconds, tokens)
        size = len(json.dumps(state, ensure_ascii=False).encode())
        assert size < 180  # the limit, and the other keys
        left_out = candidates - set(known_tokens(state))
        days = [time[:10] for time in state["known"]]
        assert not left_out or len(days) == len(set(days))
        for token in left_out:
            assert size + len(json.dumps(token, ensure_ascii=False).encode()) > 100


stats_syncs = st.lists(
    st.tuples(
        st.sampled_from([(2, 1), (1, 1), (1, 2)]),  # days per window, day of the start
        st.none() | st.integers(1, 12),  # the number of records and states before it is stopped
        st.integers(0, 9),  # days since the last sync
        st.integers(0, 9),  # days of lookback
    )
)


@mock.patch.multiple(cart_stats, _WINDOWS_AT_ONCE=1)  # to start fewer threads
@settings(max_examples=3 * settings.default.max_examples)
@given(stats_syncs)
def test_rows_of_cart_stats_become_those_of_the_last_settings(syncs):
    state, rows, now = {}, {}, FIRST_DAY + 8 * DAY + 5
    for (days, start), stop_after, days_passed, lookback in [*syncs, ((2, 1), None, 0, 0)]:
        now += days_passed * DAY
        clock = Clock(now, now + 1, True, 0)
        api = SimpleNamespace(counts=lambda window, clock=clock: Counts(window.last, 0, clock))
        config = make_config(
            start_date=f"2024-01-0{start}",
            retargeting_window_days=days,
            retargeting_lookback_days=lookback,
        )
        for item in islice(CartStats(api, config).read(state), stop_after):
            if isinstance(item, dict):
                state = item
            else:
                rows |= {row["date_from"]: row["abandoned"] for row in item}
    for first in range(FIRST_DAY, now, 2 * DAY):
        assert rows[from_epoch(first)] == min(first + 2 * DAY - 1, now)
