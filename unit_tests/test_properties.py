"""What must hold for any input, tried with made-up ones.

The same examples each time, so that a run is worth as much as the last; for a campaign with new and
more of them: HYPOTHESIS_PROFILE=campaign .venv/bin/python -m pytest unit_tests/test_properties.py
"""

import itertools
import json
import logging
import os
import re
from contextlib import suppress
from datetime import datetime, timedelta, timezone
from fractions import Fraction
from pathlib import Path
from unittest import mock

import orjson
import requests_mock
import yaml
from airbyte_cdk.entrypoint import AirbyteEntrypoint
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from source_abandoned_carts import abandoned_carts, engine, run  # noqa: F401 (its recursion limit)
from source_abandoned_carts.abandoned_carts import AbandonedCarts
from source_abandoned_carts.checkpoint import Checkpoint
from source_abandoned_carts.config import ConfigError, read_config
from source_abandoned_carts.http import ApiError, Patience
from source_abandoned_carts.retargeting import Counts, Retargeting
from source_abandoned_carts.snipcart import Page, Snipcart
from source_abandoned_carts.timestamps import from_epoch, sort_key, to_epoch, to_rfc3339
from source_abandoned_carts.windows import DAY, Window, windows

settings.register_profile(
    "tests",
    max_examples=80,  # 20 seconds in all; a campaign looks further
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
settings.register_profile(
    "campaign", settings.get_profile("tests"), max_examples=20_000, derandomize=False
)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "tests"))
MANY = settings(max_examples=5 * settings.default.max_examples)

CARTS_URL = "https://app.snipcart.com/api/carts/abandoned"
STATS_URL = "https://api.retargeting.app/v1/partners-api/shopping-carts"
SPEC = Path(__file__).parents[1] / "source_abandoned_carts" / "spec.yaml"
FORM = yaml.safe_load(SPEC.read_text())["connectionSpecification"]

ONCE = Patience(tries=1)
EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
LAST = 253_402_300_799  # 9999-12-31T23:59:59Z

any_character = st.characters(exclude_categories=()) | st.sampled_from('\ud83d\ude00😀é"\\\0\u2028')
any_text = st.text(any_character, max_size=20)
any_number = (
    st.integers()
    | st.integers(-(10**320), 10**320)
    | st.floats(allow_nan=False, allow_infinity=False)
)
any_json = st.recursive(
    st.none() | st.booleans() | any_number | any_text,
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(any_text, inner, max_size=5),
    max_leaves=25,
)


# Dates


def instant(written: str) -> Fraction:
    """Read RFC 3339 in UTC without the program's help."""
    match = re.fullmatch(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d+))?Z", written, re.ASCII)
    assert match, written
    whole = datetime.strptime(f"{match[1]}+0000", "%Y-%m-%dT%H:%M:%S%z") - EPOCH
    fraction = Fraction(int(match[2]), 10 ** len(match[2])) if match[2] else 0
    return Fraction(whole // timedelta(seconds=1)) + fraction


any_seconds = st.integers(-(10**9), -1) | st.integers(0, LAST - DAY) | st.integers(-DAY, DAY)
any_digits = st.text("0123456789", max_size=12)


@st.composite
def dates(draw, seconds=any_seconds, digits=any_digits):
    """A date in a form that the APIs may send, and the instant it means, None for none."""
    seconds, digits = draw(seconds), draw(digits)
    fraction = f".{digits}" if digits else ""
    means = seconds + Fraction(int(digits or 0), 10 ** len(digits))
    form = draw(st.sampled_from(["Z", "", "offset", "number", "text", "float"]))
    if form == "number":
        given, means = seconds, Fraction(seconds)
    elif form == "text":
        given = f"{seconds}{fraction}"
    elif form == "float":
        given = float(f"{seconds}{fraction}")
        means = Fraction(repr(given))
    else:
        minutes = draw(st.integers(-23 * 60 - 59, 23 * 60 + 59)) if form == "offset" else 0
        local = EPOCH + timedelta(seconds=seconds, minutes=minutes)
        sign, ahead = "-" if minutes < 0 else "+", divmod(abs(minutes), 60)
        colon = draw(st.sampled_from([":", ""]))
        offset = f"{sign}{ahead[0]:02}{colon}{ahead[1]:02}" if form == "offset" else form
        between = draw(st.sampled_from("Tt "))
        text = local.replace(tzinfo=None).isoformat(between)
        given = draw(st.sampled_from(["", " "])) + text + fraction + offset
    return given, means if 0 <= seconds <= LAST and means >= 0 else None


@MANY
@given(dates())
def test_a_date_in_any_form_keeps_its_instant(date):
    given, means = date
    written = to_rfc3339(given)
    assert (written and instant(written)) == means


close_dates = dates(st.integers(0, 1), st.text("05", max_size=3))


@MANY
@given(dates() | close_dates, close_dates)
def test_instants_keep_their_order(one, other):
    written = [(to_rfc3339(given), means) for given, means in (one, other)]
    if None not in (one[1], other[1]):
        (first, sooner), (second, later) = written
        assert (sort_key(first) < sort_key(second)) == (sooner < later)
        assert (sort_key(first) == sort_key(second)) == (sooner == later)


@MANY
@given(any_json | st.text("0123456789-+:.,TtZz W", max_size=30) | st.floats())
def test_whatever_stands_for_a_date_is_one_or_none(value):
    written = to_rfc3339(value)
    if written is not None:
        assert 0 <= instant(written) < LAST + 1
        assert to_rfc3339(written) == written
        assert to_epoch(written) == instant(written) // 1


# Windows


@given(
    st.integers(0, 40_000),
    st.integers(1, 30),
    st.integers(0, 500 * DAY),
    st.none() | st.integers(-(10**9), 10**9),
)
def test_windows_tile_the_time_up_to_now(day, days, passed, back):
    start, now = day * DAY, day * DAY + passed
    whole = list(windows(start, days, now))
    assert whole[0].first == start
    assert whole[-1].last == now
    assert all(one.last + 1 == next.first for one, next in itertools.pairwise(whole))
    assert all(0 <= one.last - one.first < days * DAY <= 30 * DAY for one in whole)
    since = None if back is None else now - back
    part = list(windows(start, days, now, since))
    if since is not None and since > now:
        assert all(one in whole for one in part)
    else:
        assert part == whole[len(whole) - len(part) :]
        assert part[0].first <= max(start, since or start)
        assert since is None or since < start or since <= part[0].last


# A shop that changes while it is read


HOUR = 3_600_000  # milliseconds
LENGTHS = {"LessThan4Hours": 4, "LessThanADay": 24, "LessThanAWeek": 168, "LessThanAMonth": 672}


class Shop:
    """Carts in an order of its own; a token stands for the cart that the next page begins with.

    A time range looks at when carts were modified, at when they were created, or at nothing that
    makes sense.
    """

    def __init__(self, draw) -> None:
        self.draw = draw
        self.time = 1_700_000_000_000  # milliseconds
        self.looks_at = draw(st.sampled_from(["modified", "created", "nothing"]))
        self.forgetful = draw(st.integers(0, 3)) == 0  # often does not tell its time
        self.created: dict[int, int] = {}
        self.modified: dict[int, int] = {}
        self.carts: dict[int, dict] = {}
        self.order: list[int] = []
        self.generation = 0
        self.pages = 0
        self.restless = True
        for _ in range(draw(st.integers(0, 30))):
            self.add()

    def add(self) -> None:
        number = len(self.carts)
        self.carts[number] = {"token": number}
        self.order.insert(self.draw(st.integers(0, len(self.order))), number)
        self.touch(number)
        self.created[number] = self.time

    def touch(self, number: int) -> None:
        self.time += self.draw(st.sampled_from([0, 0, 1, 999, 1_000, 1_000, 60_000]))
        seconds, rest = divmod(self.time, 1_000)
        date = f"{from_epoch(seconds)[:-1]}.{rest:03}Z".replace(".000Z", "Z")
        undated = self.draw(st.integers(0, 9)) == 0
        self.modified[number] = self.time
        version = self.carts[number].get("version", 0) + 1
        self.carts[number] = {
            "token": number, "modificationDate": None if undated else date, "version": version,
        }  # fmt: skip

    def change(self) -> None:
        for _ in range(self.draw(st.integers(0, 3))):
            if self.carts and self.draw(st.booleans()):
                self.touch(self.draw(st.sampled_from(sorted(self.carts))))
            else:
                self.add()

    def wait(self) -> None:
        self.time += self.draw(st.sampled_from([0, 0, 1, 2, 3, 4, 23, 150, 700, 800])) * HOUR

    def is_in(self, number: int, time_range: str | None) -> bool:
        if time_range is None:
            return True
        if self.looks_at == "nothing":
            return self.draw(st.booleans())
        dates = self.modified if self.looks_at == "modified" else self.created
        return self.time - dates[number] < LENGTHS[time_range] * HOUR

    def page(self, token: str | None, time_range: str | None = None) -> Page:
        generation, first = json.loads(token)[:2] if token else (self.generation, None)
        if generation != self.generation:
            raise ApiError("The token is not known.", status=400)
        asked_at = self.time // 1_000
        start = 0 if first is None else self.order.index(first)
        end = start + (self.draw(st.integers(0, 8)) if self.restless else 8)
        numbers = [number for number in self.order[start:end] if self.is_in(number, time_range)]
        carts = [dict(self.carts[number]) for number in numbers]
        self.pages += 1  # so that no token is given twice, though a page may be empty
        more = end < len(self.order)
        following = json.dumps([generation, self.order[end], self.pages]) if more else None
        answered_at = self.time // 1_000 + 1
        if self.restless:
            self.change()
            if self.draw(st.integers(0, 9)) == 0:
                self.wait()
        dated = not self.forgetful or self.draw(st.booleans())
        return Page(carts, following, asked_at, answered_at, dated)


def sync(
    shop: Shop, state: dict, destination: dict, killed_after: int | None = None, hours: int = 0
) -> dict:
    """Read into the destination, which may lose what no state covers; give the state saved last."""
    start = "2020-01-01T00:00:00Z"
    reading = AbandonedCarts(shop, start, "filters", full_scan_hours=hours).read(state)
    uncovered: list[dict] = []
    with suppress(ApiError):
        for number, item in enumerate(reading):
            if number == killed_after:
                break
            if isinstance(item, Checkpoint):
                state = json.loads(json.dumps(item.state))
                destination.update((cart["token"], cart) for cart in uncovered)
                uncovered = []
            else:
                uncovered.extend(item)
    arrived = shop.draw(st.integers(0, len(uncovered)))
    destination.update((cart["token"], cart) for cart in uncovered[:arrived])
    return state


any_hours = st.sampled_from([0, 1, 24, 720, 720])


@given(st.data())
def test_the_destination_comes_to_equal_the_list(data):
    shop = Shop(data.draw)
    state: dict = {}
    destination: dict = {}
    hours = data.draw(any_hours)
    with mock.patch.object(abandoned_carts, "_CARTS_BETWEEN_STATES", 4):
        for _ in range(data.draw(st.integers(0, 7))):
            killed_after = data.draw(st.none() | st.integers(0, 12))
            state = sync(shop, state, destination, killed_after, hours)
            if data.draw(st.integers(0, 4)) == 0:
                hours = data.draw(any_hours)
            shop.change()
            shop.wait()
            shop.generation += data.draw(st.sampled_from([0, 0, 0, 1]))
        shop.restless = False
        # A scan that is taken up ends where it is; what lies behind it comes with the next one.
        # The next full one comes by itself after its hours, or at once when they are set to 0.
        for _ in range(2):
            hours = data.draw(any_hours)
            shop.time += hours * HOUR + 1_000
            state = sync(shop, state, destination, hours=hours)
    assert destination == shop.carts
    assert len(json.dumps(state)) < 300


@settings(max_examples=settings.default.max_examples // 4)
@given(st.data())
def test_narrow_scans_miss_nothing_where_the_range_looks_at_the_modification(data):
    shop = Shop(data.draw)
    shop.looks_at = "modified"
    state: dict = {}
    destination: dict = {}
    state = sync(shop, state, destination, hours=720)
    for _ in range(data.draw(st.integers(0, 5))):
        shop.wait()
        shop.restless = True
        state = sync(shop, state, destination, hours=720)
        # What was passed behind the reader's back comes with the next scan.
        shop.restless = False
        state = sync(shop, state, destination, hours=720)
        dated = {n: cart for n, cart in shop.carts.items() if cart["modificationDate"]}
        assert dated.items() <= destination.items()


# JSON


def write_json(value: object, draw) -> str:
    """Write JSON with keys that may come twice, of which the last counts."""
    if isinstance(value, dict):
        pairs = [f"{json.dumps(key)}: {write_json(item, draw)}" for key, item in value.items()]
        if pairs and draw(st.booleans()):
            pairs.insert(0, f"{json.dumps(next(iter(value)))}: 0")
        return f"{{{', '.join(pairs)}}}"
    if isinstance(value, list):
        return f"[{', '.join(write_json(item, draw) for item in value)}]"
    halves = isinstance(value, str) and re.search("[\ud800-\udfff]", value)
    return json.dumps(value, ensure_ascii=bool(halves) or draw(st.booleans()))


def expected(value: object) -> object:
    """What is to become of a value, without the program's help."""
    if isinstance(value, dict):
        return {expected(key): expected(item) for key, item in value.items()}
    if isinstance(value, list):
        return [expected(item) for item in value]
    if isinstance(value, str):
        joined = value.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")
        return "".join("\ufffd" if 0xD800 <= ord(one) <= 0xDFFF else one for one in joined)
    if isinstance(value, int) and not isinstance(value, bool) and not -(2**63) <= value < 2**64:
        return float(value) if abs(value) < 2**1024 - 2**970 else None
    return value


def records(pages: list[str]) -> list[dict]:
    """Read pages as the command would, and its output with two readers of JSON."""
    tokens = [f', "continuationToken": "{number}"' for number in range(1, len(pages))] + [""]
    bodies = [
        f'{{"items": [{page}], "hasMoreResults": {json.dumps(bool(token))}{token}}}'.encode()
        for page, token in zip(pages, tokens, strict=True)
    ]
    with requests_mock.Mocker() as mocker:
        mocker.get(CARTS_URL, [{"content": body} for body in bodies])
        api = Snipcart("key", {"timeRange": "Anytime"}, 50, ONCE)
        reader = AbandonedCarts(api, "1970-01-01T00:00:00Z", "filters")
        stream = engine.make_stream("abandoned_carts", lambda: reader.read({}), json_schema={})
        lines = [
            AirbyteEntrypoint.airbyte_message_to_string(message)
            for message in engine.run([stream], logging.Logger("quiet", logging.CRITICAL))
        ]
    assert not any("\n" in line for line in lines)
    read = [json.loads(line) for line in lines]
    assert [orjson.loads(line) for line in lines] == read
    return [message["record"]["data"] for message in read if message["type"] == "RECORD"]


DATES = {"creationDate", "modificationDate", "completionDate", "items"}


@given(st.data(), st.lists(st.dictionaries(any_text, any_json, max_size=6), max_size=4))
def test_a_cart_goes_out_as_it_came_whatever_it_holds(data, carts):
    carts = [{k: v for k, v in cart.items() if k not in DATES} for cart in carts]
    given = records([", ".join(write_json(cart, data.draw) for cart in carts)])
    whole = [{k: v for k, v in expected(cart).items() if v is not None} for cart in carts]
    assert given == whole


@given(st.integers(1, 990), st.sampled_from(["[", '{"a":']))
@example(990, '{"a":')
def test_a_cart_goes_out_however_deep(depth, opening):
    closing = "]" if opening == "[" else "}"
    deep = opening * depth + "1" + closing * depth
    (record,) = records([f'{{"token": "a", "deep": {deep}}}'])
    assert json.dumps(record["deep"]).replace(" ", "") == deep


# Retargeting


def number_in(value: object) -> Fraction | None:
    """The number that a value tells, without the program's help."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        return Fraction(str(value).strip())
    except (ValueError, ZeroDivisionError):
        return None


any_count = (
    any_json
    | st.integers(0, 10**6)
    | st.floats(-10, 10**6, allow_nan=False)
    | st.text("0123456789.-+e ", max_size=6)
)
any_answer = any_json | st.fixed_dictionaries(
    {},
    optional={
        "status": st.sampled_from(["success", "error", "fail"]) | any_json,
        "message": any_text | st.sampled_from(["Incorrect rest key!", "Something went wrong"]),
        "data": any_json
        | st.fixed_dictionaries({}, optional={"abandoned": any_count, "recovered": any_count}),
    },
)


@given(any_answer, st.sampled_from([200, 200, 200, 204, 302, 400, 401, 403, 404, 429, 500]))
@example({"status": "success", "data": {"abandoned": "3", "recovered": 4.0}}, 200)
def test_an_answer_of_retargeting_is_a_true_count_or_an_error(answer, status):
    with requests_mock.Mocker() as mocker:
        mocker.get(STATS_URL, content=json.dumps(answer).encode(), status_code=status)
        try:
            counts = Retargeting("key", ONCE).counts(Window(1, 2))
        except ApiError as error:
            refusal = str(error.message)
        else:
            refusal = None
    if refusal is not None:
        assert "Retargeting" in refusal
        assert refusal.endswith(".")
        return
    assert 200 <= status < 300
    assert answer["status"] == "success"
    told = [number_in(answer["data"][name]) for name in ("abandoned", "recovered")]
    assert counts == Counts(*told)


# Settings


any_setting = any_json | st.sampled_from(
    ["2024-01-31", "2024-02-30", "1969-12-31", "LessThanADay", "\ud83d", "", 0, 7, 1.5, 501]
)


@MANY
@given(
    st.dictionaries(st.sampled_from(sorted(FORM["properties"])), any_setting, max_size=2),
    st.booleans(),
    st.dictionaries(any_text, any_json, max_size=2),
)
def test_settings_work_or_are_refused_with_a_sentence(made, least, unknown):
    raw = {**unknown, **made}
    if least:
        raw = {**raw, "start_date": "2024-01-31", "snipcart_api_key": "key"}
    with requests_mock.Mocker() as mocker:
        try:
            config = read_config(raw, FORM)
        except ConfigError as error:
            config, refusal = None, str(error)
        if config is None:
            assert any(f"({name})" in refusal for name in FORM["properties"])
            assert refusal.endswith(".")
            return
        assert config.start >= "1970"
        mocker.get(CARTS_URL, json={"items": [], "hasMoreResults": False})
        if config.snipcart_api_key:
            Snipcart(config.snipcart_api_key, config.filters, config.page_size, ONCE).page(None)
        mocker.get(STATS_URL, json={"status": "success", "data": {"abandoned": 1, "recovered": 0}})
        if config.retargeting_rest_key:
            Retargeting(config.retargeting_rest_key, ONCE).counts(Window(1, 2))
