"""Rules that must hold for any input, tried with random examples.

`make test` tries the same examples each time. For a campaign with new and more of them:
HYPOTHESIS_PROFILE=campaign .venv/bin/python -m pytest unit_tests/test_properties.py
"""

import json
import os
import random
import re
from datetime import datetime, timedelta, timezone
from fractions import Fraction
from functools import lru_cache
from types import SimpleNamespace
from typing import NamedTuple
from unittest import mock

import orjson
from airbyte_cdk.models import FailureType
from airbyte_cdk.utils.traced_exception import AirbyteTracedException
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from source_abandoned_carts import abandoned_carts, cart_stats
from source_abandoned_carts.abandoned_carts import AbandonedCarts
from source_abandoned_carts.cart_stats import CartStats
from source_abandoned_carts.config import read_config
from source_abandoned_carts.http import Clock
from source_abandoned_carts.json_text import parse
from source_abandoned_carts.responses import ApiError
from source_abandoned_carts.retargeting import Counts
from source_abandoned_carts.snipcart import TIME_RANGES, Page, normalize_dates
from source_abandoned_carts.timestamps import from_epoch, sort_key, to_epoch, to_rfc3339
from source_abandoned_carts.windows import DAY, windows

from .helpers import SETTINGS, SPEC, make_config

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
MORE = settings(max_examples=8 * settings.default.max_examples)

HOUR = 3_600_000  # milliseconds
MONTH = 28 * 24 * HOUR
make_config = lru_cache(make_config)
seeds = st.integers(0, 2**64)


# A shop that changes while it is read


class Version(NamedTuple):
    """A cart from the time on when it is `listed` so; None when it is no longer on the list."""

    listed: int
    cart: dict | None
    modified: int = 0
    rank: float = 0  # its place on the list, from 0 to 1


class Shop:
    """A list of carts that changes at random, and Snipcart's API for it. Times are milliseconds.

    Within the contract: a cart appears on the list at most an hour after its modification date, and
    the clock that writes modification dates may be some minutes off.
    """

    def __init__(self, seed):
        self.random = random.Random(seed)
        self.time = 1_700_000_000_000
        self.clock_difference = self.random.choice([-180_000, -2_000, 0, 0, 2_000, 180_000])
        self.time_range_filters_by = self.random.choice(["modified", "created", "nothing"])
        self.sends_date = self.random.random() < 0.8
        self.merges_by_date = self.random.random() < 0.3  # the destination
        self.is_calm = False
        self.generation = 0  # of tokens
        self.versions = []  # of each cart
        self.created = []
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
            "modificationDate": written(modified) if has_date else None,
            "version": len(self.versions[number]),
            "value": self.random.randint(0, 9),
        }
        self.versions[number].append(Version(listed, cart, modified, self.random.random()))

    def listed(self, minimal_value=0, time_range=None):
        """Return the versions on the list now, in its order."""
        found = []
        for versions in self.versions:
            version = next((v for v in reversed(versions) if v.listed <= self.time), None)
            if version and version.cart and version.cart["value"] >= minimal_value:
                found.append(version)
        return sorted(filter(lambda v: self.is_in(time_range, v), found), key=lambda v: v.rank)

    def is_in(self, time_range, version):
        if time_range is None:
            return True
        if self.time_range_filters_by == "nothing":
            return self.random.random() < 0.5
        is_modified = self.time_range_filters_by == "modified"
        date = version.modified if is_modified else self.created[version.cart["token"]]
        return self.time - date <= TIME_RANGES[time_range] * 1_000

    def pages(self, minimal_value, token, time_range):
        generation, rank = json.loads(token) if token else (self.generation, 0)
        while True:
            if generation != self.generation:
                raise ApiError("The token is not known.", FailureType.system_error, 400)
            sent = self.time
            self.time += 0 if self.is_calm else self.random.choice([0, 0, 500, 3_000])
            rest = [v for v in self.listed(minimal_value, time_range) if v.rank >= rank]
            size = 8 if self.is_calm else self.random.randint(0, 8)
            rank = rest[size].rank if len(rest) > size else None
            next_token = None if rank is None else json.dumps([generation, rank])
            clock = Clock(sent // 1_000, self.time // 1_000 + 1, self.sends_date)
            yield Page([dict(version.cart) for version in rest[:size]], next_token, clock)
            if rank is None:
                return
            if not self.is_calm:
                for _ in range(self.random.randint(0, 2)):
                    self.change()
                if self.random.random() < 0.05:
                    self.wait()

    def wait(self):
        self.time += self.random.choice([0, 0, 1, 3, 4, 23, 150, 700]) * HOUR


def written(milliseconds):
    seconds, rest = divmod(milliseconds, 1_000)
    return f"{from_epoch(seconds)[:-1]}.{rest:03}Z".replace(".000Z", "Z")


def sync(shop, state, destination, config, stop_after=None):
    """Read carts into the destination, which merges them by key. Return the last state.

    A sync that is stopped loses the state that it had not reached, and some of its carts.
    """

    def write(carts):
        for cart in carts:
            old = destination.get(cart["token"])
            if not (shop.merges_by_date and old) or (
                sort_key(cart["modificationDate"]) >= sort_key(old["modificationDate"])
            ):
                destination[cart["token"]] = cart

    minimal_value = float(config.filters.get("minimalValue", 0))
    api = SimpleNamespace(
        pages=lambda token=None, time_range=None: shop.pages(minimal_value, token, time_range)
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
    write(unsaved[: shop.random.randint(0, len(unsaved))])
    assert len(json.dumps(state)) < 1_000
    return state


def frequent_checkpoints():
    return mock.patch.multiple(abandoned_carts, _CARTS_BETWEEN_STATES=10, _PAGES_BETWEEN_STATES=3)


@MORE
@given(seeds, st.integers(0, 8))
def test_the_destination_becomes_equal_to_the_list(seed, syncs):
    shop = Shop(seed)
    choice = shop.random.choice
    state, destination = {}, {}
    hours = [0, 24, 720, 720]
    changes = {"start_date": "2020-01-01", "snipcart_full_scan_hours": choice(hours)}
    with frequent_checkpoints():
        for _ in range(syncs):
            config = make_config(**changes)
            state = sync(shop, state, destination, config, choice([None, *range(1, 12)]))
            for _ in range(shop.random.randint(0, 4)):
                shop.change()
            shop.wait()
            change = choice(["nothing", "nothing", "nothing", "hours", "filters", "start"])
            if change == "hours":
                changes["snipcart_full_scan_hours"] = choice(hours)
            elif change == "filters":
                changes["snipcart_minimal_value"] = choice([0, 3, 6])
            elif change == "start":
                start = choice([shop.time, *[versions[-1].modified for versions in shop.versions]])
                changes["start_date"] = from_epoch(min(start, shop.time) // 1_000)
            shop.generation += choice([0, 0, 0, 1])
        config = make_config(**{**changes, "snipcart_full_scan_hours": 0})
        shop.is_calm = True
        if "scan_token" in state:  # a scan that is resumed is not all of a scan
            state = sync(shop, state, destination, config)
        sync(shop, state, destination, config)
    for _, cart, *_ in shop.listed(changes.get("snipcart_minimal_value", 0)):
        modified = cart["modificationDate"]
        if modified is None or sort_key(modified) >= sort_key(config.start):
            assert destination.get(cart["token"]) == cart


@given(seeds)
def test_syncs_that_are_killed_at_their_first_state_reach_the_end(seed):
    shop = Shop(seed)
    for _ in range(100):
        shop.change()
    state = {}
    with frequent_checkpoints():
        for _ in range(100):  # each reads three pages of four carts on average, and one is added
            state = sync(shop, state, {}, make_config(), stop_after=4)
            shop.wait()
            if "scan_token" not in state:
                return
    raise AssertionError("The syncs do not reach the end.")


# Statistics across syncs


@given(seeds)
def test_statistics_miss_no_window_across_syncs(seed):
    choice = random.Random(seed).choice
    now = 1_700_000_000  # by the service's clock
    difference = choice([0, 0, 3_600, -3_600])  # of this machine's clock
    changes = {"start_date": "2023-10-01", "retargeting_lookback_days": choice([0, 5, 30])}
    requested = set()

    def counts(window):
        requested.add(window)
        return Counts(0, 0, Clock(now - 1, now + 1, is_service=True))

    clock, api = SimpleNamespace(time=lambda: now + difference), SimpleNamespace(counts=counts)
    state, since, date_to = {}, None, ""
    for _ in range(8):
        if choice([True, False, False, False]):
            changes["retargeting_window_days"] = choice([1, 7, 30])
        config = make_config(**changes)
        stop_after = choice([None, 5, 9, 17])  # a state comes behind eight windows
        before = state
        with mock.patch.object(cart_stats, "time", clock):
            for number, item in enumerate(CartStats(api, config).read(state), start=1):
                state = item if isinstance(item, dict) else state
                if number == stop_after:
                    break
        if state.get("window_days") != before.get("window_days"):
            since = None
        if state and "reached" not in state and state != before:
            start = to_epoch(config.start)
            assert state["date_to"] == from_epoch(now)
            assert set(windows(start, config.window_days, now, since)) <= requested
            since = now - config.lookback_days * DAY
            requested.clear()
        elif stop_after != 5:  # the sync made progress
            assert state.get("reached") != before.get("reached") or state == before == {}
        assert state.get("date_to", "") >= date_to
        date_to = state.get("date_to", "")
        now += choice([60, 3_600, DAY, 9 * DAY])


# Dates


EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
LAST_SECOND = 253_402_300_799  # 9999-12-31T23:59:59Z


def instant(rfc3339):
    """Read RFC 3339 in UTC without the package's help."""
    match = re.fullmatch(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d+))?Z", rfc3339, re.ASCII)
    assert match, rfc3339
    whole = datetime.strptime(f"{match[1]}+0000", "%Y-%m-%dT%H:%M:%S%z") - EPOCH
    fraction = Fraction(int(match[2]), 10 ** len(match[2])) if match[2] else 0
    return Fraction(whole // timedelta(seconds=1)) + fraction


@given(
    st.integers(-DAY, DAY) | st.integers(-(10**9), LAST_SECOND - DAY),
    st.text("0123456789", max_size=12),
    st.integers(-23 * 60 - 59, 23 * 60 + 59),
)
def test_dates_keep_their_instants_in_any_form(seconds, digits, minutes):
    fraction = f".{digits}" if digits else ""
    local = EPOCH + timedelta(seconds=seconds, minutes=minutes)
    offset = f"{'-' if minutes < 0 else '+'}{abs(minutes) // 60:02}:{abs(minutes) % 60:02}"
    means = seconds + Fraction(int(digits or 0), 10 ** len(digits))
    for date in (f"{local.isoformat()[:19]}{fraction}{offset}", f"{seconds}{fraction}"):
        found = to_rfc3339(date)
        assert (found and instant(found)) == (means if seconds >= 0 else None)


fractions = st.text("059", max_size=3).map(lambda digits: f".{digits}" if digits else "")


@given(st.integers(0, 1), fractions, st.integers(0, 1), fractions)
def test_sort_keys_have_the_order_of_instants(second, fraction, other_second, other_fraction):
    dates = [
        f"2024-01-01T00:00:0{second}{fraction}Z",
        f"2024-01-01T00:00:0{other_second}{other_fraction}Z",
    ]
    (key, other_key), (means, other_means) = map(sort_key, dates), map(instant, dates)
    assert (key < other_key, key == other_key) == (means < other_means, means == other_means)
    assert to_epoch(dates[0]) == means // 1


# JSON and settings


characters = st.characters(exclude_categories=()) | st.sampled_from('\ud83d\ude00😀é"\\\0\u2028')
texts = st.text(characters, max_size=20)
numbers = st.integers(-(10**300), 10**300) | st.floats(allow_nan=False, allow_infinity=False)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | numbers | texts,
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(texts, inner, max_size=5),
    max_leaves=25,
)


def expected(value):
    """Return what becomes of a value, without the package's help."""
    if isinstance(value, dict):
        return {expected(key): expected(item) for key, item in value.items()}
    if isinstance(value, list):
        return [expected(item) for item in value]
    if isinstance(value, str):
        joined = value.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")
        return re.sub("[\ud800-\udfff]", "\ufffd", joined)
    if isinstance(value, int) and not isinstance(value, bool) and not -(2**63) <= value < 2**64:
        return float(value)
    return value


@given(st.dictionaries(texts, json_values, max_size=6), texts | numbers)
def test_carts_keep_all_values_but_dates_and_surrogates(cart, date):
    def with_dates(date):
        dates = dict.fromkeys(("creationDate", "modificationDate", "completionDate"), date)
        return {**cart, **dates, "items": [{"addedOn": date, "modificationDate": date, "x": cart}]}

    read = parse(json.dumps(with_dates(date)).encode())
    normalize_dates(read)
    assert read == expected(with_dates(to_rfc3339(expected(date))))
    assert json.loads(json.dumps(read)) == orjson.loads(orjson.dumps(read)) == read


any_setting = json_values | st.sampled_from(
    ["2024-01-31", "2024-02-30", "1969-12-31", "LessThanADay", "\ud83d", "", 0, 7, 1.5, 501]
)


@given(st.dictionaries(st.sampled_from(sorted(SPEC["properties"])), any_setting, max_size=2))
@example({"start_date": "2024-02-30"})
def test_settings_are_valid_or_rejected_with_a_sentence(changes):
    try:
        config, message = read_config({**SETTINGS, **changes}, SPEC), None
    except AirbyteTracedException as error:
        config, message = None, error.message
    if config is None:
        assert any(f"({name})" in message for name in changes)
        assert message.endswith(".")
    else:
        assert instant(config.start) >= 0
        assert "".join(config.filters.values()).encode()
