"""Scans of the list of abandoned carts: what is emitted, saved, and emitted again."""

import copy
import json
from datetime import datetime, timedelta, timezone
from typing import Any

import jsonschema
import pytest

from sandbox import Fault, Sandbox
from sandbox.data import FORMS, NO_DATE

from .conftest import catalog, read_and_kill, state_file

STREAM = "abandoned_carts"
SINCE = datetime(2025, 3, 1, 12, tzinfo=timezone.utc)
HOUR = timedelta(hours=1)


def tokens(records: list[dict[str, Any]]) -> list[str]:
    return [record["token"] for record in records]


def instant(text: str) -> datetime:
    """Read RFC 3339 in UTC with any number of fraction digits, which Python 3.10 does not."""
    assert text.endswith("Z")
    whole, _, fraction = text[:-1].partition(".")
    moment = datetime.strptime(whole, "%Y-%m-%dT%H:%M:%S").replace(tzinfo=timezone.utc)
    return moment.replace(microsecond=int(fraction[:6].ljust(6, "0")))


def newest(sandbox: Sandbox) -> datetime:
    return max(cart.modified for cart in sandbox.carts if cart.modified)


def test_emits_each_cart_as_the_api_returns_it(sandbox, connector):
    sandbox.carts[0].document |= {"newField": {"deep": [1, {"x": None}]}, "exact": 2**63 - 1}
    sandbox.carts[1].document["metadata"] = {"surrogate \udc00": ["\ud83d", "😀", 2**70, 1.5]}
    served = {cart.token: copy.deepcopy(cart.document) for cart in sandbox.carts}
    records = connector.read(sandbox.config, STREAM).records(STREAM)
    assert len(records) == len(served)
    for record in records:
        assert_same(record, served[record["token"]], top=True)


def assert_same(got: Any, given: Any, *, top: bool = False) -> None:
    """Compare with the API's JSON, except for date-times, surrogates, and nulls at the top."""
    if isinstance(given, dict):
        given = {key.replace("\udc00", "\ufffd"): value for key, value in given.items()}
        for key, value in given.items():
            if key.endswith("Date") or key == "addedOn":
                if got.get(key) is None:
                    assert value in (None, NO_DATE, "soon")
                else:
                    assert value in {form(instant(got[key])) for form in FORMS.values()}
            elif top and value is None:
                assert key not in got
            else:
                assert_same(got[key], value)
        assert set(got) <= set(given)
    elif isinstance(given, list):
        for one, other in zip(got, given, strict=True):
            assert_same(one, other)
    elif isinstance(given, str):
        assert got == "".join("\ufffd" if "\ud800" <= c <= "\udfff" else c for c in given)
    else:
        assert got == given


def test_schema_accepts_every_record(sandbox, connector):
    (message,) = connector.run("discover", config=sandbox.config).of("CATALOG")
    schemas = {s["name"]: s["json_schema"] for s in message["catalog"]["streams"]}
    output = connector.read(sandbox.config, *schemas)
    for stream, schema in schemas.items():
        validator = jsonschema.Draft7Validator(schema)
        for record in output.records(stream):
            validator.validate(record)


@pytest.mark.parametrize("mode", ["full_refresh", "incremental"])
def test_leaves_out_carts_before_the_start_date_but_not_undated_ones(sandbox, connector, mode):
    config = {**sandbox.config, "start_date": "2025-03-01T12:00:00Z"}
    records = connector.read(config, STREAM, mode=mode).records(STREAM)
    assert tokens(records) == [
        cart.token for cart in sandbox.carts if cart.modified is None or cart.modified >= SINCE
    ]


def test_sends_all_filters_with_every_page(sandbox, connector):
    sandbox.largest_page = 7
    config = {
        **sandbox.config,
        "snipcart_minimal_value": 24.2,
        "snipcart_product_id": "poster/a2",
        "snipcart_page_size": 9,
    }
    records = connector.read(config, STREAM).records(STREAM)
    assert 7 < len(records) < len(sandbox.carts)
    assert all(record["total"] >= 24.2 for record in records)
    expected = {"timeRange": "Anytime", "minimalValue": "24.2", "productId": "poster/a2"}
    for request in sandbox.requests:
        assert {**expected, "limit": "9"}.items() <= request.query.items()
    del sandbox.requests[:]
    config = {
        **sandbox.config,
        "snipcart_email": "customer5@shop.example",
        "snipcart_campaign_id": "a b+c&d",
        "snipcart_time_range": "LessThanAMonth",
    }
    assert connector.read(config, STREAM).code == 0
    (request,) = sandbox.requests
    expected = {"email": "customer5@shop.example", "campaignId": "a b+c&d"}
    assert {**expected, "timeRange": "LessThanAMonth"}.items() <= request.query.items()


def test_compares_dates_as_instants(sandbox, connector):
    texts = {
        "2025-06-01T10:00:05Z": True,
        "2025-06-01T10:00:04.99Z": False,
        "2025-06-01T10:00:05.4999999Z": True,
        "2025-06-01T12:00:05+02:00": True,
        "2025-06-01T10:00:04.9999999": False,
        1748772005: True,
        "1748772004": False,
        1748772005.25: True,
    }
    del sandbox.carts[len(texts) :]
    for cart, text in zip(sandbox.carts, texts, strict=True):
        cart.document["modificationDate"] = text
    state = {STREAM: {"modificationDate": "2025-06-01T10:00:05.000Z"}}
    output = connector.read(sandbox.config, STREAM, state=state)
    assert tokens(output.records(STREAM)) == [
        cart.token for cart, passes in zip(sandbox.carts, texts.values(), strict=True) if passes
    ]


def test_second_sync_emits_what_changed_and_the_overlap(sandbox, connector):
    last = newest(sandbox)
    sandbox.carts[3].touch(last - timedelta(minutes=59))
    sandbox.carts[4].touch(last - timedelta(minutes=70))
    (state,) = connector.read(sandbox.config, STREAM).states(STREAM)
    assert set(state) == {"modificationDate", "filters", "start"}
    cursor = instant(state["modificationDate"])
    assert last - HOUR - timedelta(seconds=10) <= cursor <= last - HOUR
    sandbox.carts[5].touch(sandbox.now() - timedelta(seconds=5), "seconds as text")
    second = connector.read(sandbox.config, STREAM, state={STREAM: state})
    assert tokens(second.records(STREAM)) == [
        cart.token for cart in sandbox.carts if cart.modified is None or cart.modified >= cursor
    ]
    emitted = tokens(second.records(STREAM))
    assert [sandbox.carts[index].token in emitted for index in (3, 4, 5)] == [True, False, True]


def test_slow_scan_widens_the_overlap(sandbox, connector):
    sandbox.faults = [Fault("slow", seconds=2)]
    (state,) = connector.read(sandbox.config, STREAM).states(STREAM)
    assert instant(state["modificationDate"]) <= newest(sandbox) - HOUR - timedelta(seconds=2)


@pytest.mark.parametrize("hours", [-1, 1])
def test_emits_carts_modified_behind_the_reader_next_time(sandbox, connector, hours):
    sandbox.clock_offset = hours * 3600

    def touch(request: Any) -> None:
        if len(sandbox.requests) == 2:  # the first page has been read
            sandbox.carts[2].touch(sandbox.now(), "iso7")
            sandbox.carts[-1].touch(sandbox.now() + timedelta(microseconds=1), "iso7")

    sandbox.before = touch
    first = connector.read(sandbox.config, STREAM)
    sandbox.before = None
    assert tokens(first.records(STREAM)).count(sandbox.carts[2].token) == 1
    second = connector.read(sandbox.config, STREAM, state={STREAM: first.states(STREAM)[-1]})
    assert sandbox.carts[2].token in tokens(second.records(STREAM))


def test_cart_dated_in_the_future_does_not_move_the_cursor(sandbox, connector):
    last = newest(sandbox)
    sandbox.carts[0].touch(sandbox.now() + timedelta(days=9))
    (state,) = connector.read(sandbox.config, STREAM).states(STREAM)
    assert instant(state["modificationDate"]) < last
    second = connector.read(sandbox.config, STREAM, state={STREAM: state})
    assert sandbox.carts[0].token in tokens(second.records(STREAM))


def test_always_emits_undated_carts(sandbox, connector):
    del sandbox.carts[4:]
    for cart, date in zip(sandbox.carts, [None, NO_DATE, "yesterday", True], strict=True):
        cart.document["modificationDate"] = date
    assert connector.read(sandbox.config, STREAM).states(STREAM) == [{}]
    state = {"modificationDate": "2025-12-01T00:00:00Z"}
    output = connector.read(sandbox.config, STREAM, state={STREAM: state})
    assert len(output.records(STREAM)) == 4
    assert all("modificationDate" not in record for record in output.records(STREAM))
    assert output.states(STREAM)[-1].items() >= state.items()


@pytest.mark.parametrize(
    ("change", "is_read_again"),
    [
        ({"snipcart_minimal_value": 1}, True),
        ({"snipcart_time_range": "LessThanAMonth"}, True),
        ({"start_date": "2023-12-31"}, True),
        ({"start_date": "2024-01-02"}, False),
        ({"snipcart_page_size": 30}, False),
        ({}, False),
    ],
)
def test_changed_filters_or_an_earlier_start_emit_everything(
    sandbox, connector, change, is_read_again
):
    now = sandbox.now()
    for cart in sandbox.carts:
        cart.touch(now - timedelta(days=3))
    (state,) = connector.read(sandbox.config, STREAM).states(STREAM)
    sandbox.carts[0].touch(now - timedelta(seconds=10))
    (state,) = connector.read(sandbox.config, STREAM, state={STREAM: state}).states(STREAM)
    output = connector.read({**sandbox.config, **change}, STREAM, state={STREAM: state})
    assert len(output.records(STREAM)) == (len(sandbox.carts) if is_read_again else 1)


def test_state_in_the_future_is_kept(sandbox, connector):
    state = {"modificationDate": "2999-01-01T00:00:00Z", "other": 1}
    output = connector.read(sandbox.config, STREAM, state={STREAM: state})
    assert (output.code, output.of("RECORD"), output.states(STREAM)) == (0, [], [state])
    full = connector.read(sandbox.config, STREAM, state={STREAM: state}, mode="full_refresh")
    assert len(full.records(STREAM)) == len(sandbox.carts)
    assert full.logs("WARN") == []


def test_resumes_after_kill(make_sandbox, lead_to):
    sandbox: Sandbox = make_sandbox(3000)
    sandbox.largest_page = 50
    connector = lead_to(sandbox)
    messages = read_and_kill(connector, sandbox, sandbox.config, STREAM, records=2100, requests=43)
    (*_, state) = [m["state"]["stream"]["stream_state"] for m in messages if m["type"] == "STATE"]
    assert len(json.dumps(state)) < 1000
    first = {m["record"]["data"]["token"] for m in messages if m["type"] == "RECORD"}
    del sandbox.requests[:]
    second = connector.read(sandbox.config, STREAM, state={STREAM: state})
    again = set(tokens(second.records(STREAM)))
    assert first | again == {cart.token for cart in sandbox.carts}
    assert len(first & again) <= 1000
    assert sandbox.requests[0].query["continuationToken"] == state["scan_token"]
    assert set(second.states(STREAM)[-1]) == {"modificationDate", "filters", "start"}


def test_every_state_covers_the_records_before_it(make_sandbox, lead_to):
    sandbox: Sandbox = make_sandbox(2200)
    connector = lead_to(sandbox)
    output = connector.read({**sandbox.config, "snipcart_page_size": 100}, STREAM)
    assert len(output.states(STREAM)) == 4
    seen: set[str] = set()
    for message in output.messages:
        if message["type"] == "RECORD":
            seen.add(message["record"]["data"]["token"])
        elif message["type"] == "STATE":
            state = message["state"]["stream"]["stream_state"]
            rest = connector.read(sandbox.config, STREAM, state={STREAM: state})
            assert seen | set(tokens(rest.records(STREAM))) == {c.token for c in sandbox.carts}


@pytest.mark.parametrize(("status", "attempts"), [(400, 1), (410, 1), (500, 6)])
def test_starts_over_when_the_token_is_rejected(sandbox, connector, status, attempts):
    (state,) = connector.read(sandbox.config, STREAM).states(STREAM)
    scan = {"scan_token": "old", "scan_began": "2025-01-01T00:00:00Z"}
    state |= {"modificationDate": "2025-03-01T12:00:00Z", **scan}
    sandbox.faults = [Fault("status", times=attempts, status=status)]
    output = connector.read(sandbox.config, STREAM, state={STREAM: state}, fast=True)
    assert output.code == 0
    assert tokens(output.records(STREAM)) == [
        cart.token for cart in sandbox.carts if cart.modified is None or cart.modified >= SINCE
    ]
    (warning,) = output.logs("WARN")
    assert "No carts are lost." in warning


@pytest.mark.parametrize(
    "body",
    [
        [],
        {"hasMoreResults": False},
        {"items": [{}, 5], "hasMoreResults": False},
        {"items": [], "hasMoreResults": "no"},
        {"items": [], "hasMoreResults": True, "continuationToken": ""},
    ],
)
def test_rejects_a_response_that_is_not_a_page(sandbox, connector, body):
    sandbox.faults = [Fault("status", times=9, status=200, body=body)]
    output = connector.read(sandbox.config, STREAM)
    assert (output.code, output.of("RECORD"), output.states(STREAM)) == (1, [], [])
    assert output.error(STREAM)["failure_type"] == "system_error"
    assert len(sandbox.requests) == 1


def test_short_empty_and_unusual_pages_do_not_end_the_scan(sandbox, connector):
    page = {"items": [], "hasMoreResults": True}
    sandbox.faults = [
        Fault("status", status=200, body={**page, "continuationToken": "Cart|a"}),
        Fault("status", status=200, body={**page, "continuationToken": 7, "items": [{}]}),
        Fault("status", status=200, body={"items": [{"token": "z"}], "hasMoreResults": False}),
    ]
    output = connector.read(sandbox.config, STREAM)
    assert output.records(STREAM) == [{}, {"token": "z"}]
    sent = [request.query.get("continuationToken") for request in sandbox.requests]
    assert sent == [None, "Cart|a", "7"]


@pytest.mark.parametrize("depth", [200, 1000])
def test_emits_a_deeply_nested_cart(sandbox, connector, depth):
    cart = '{"token": "x", "metadata": ' + "[" * depth + "]" * depth + "}"
    body = f'{{"items": [{cart}], "hasMoreResults": false}}'
    sandbox.faults = [Fault("status", status=200, body=body)]
    output = connector.read(sandbox.config, STREAM)
    assert output.code == 0
    assert "[" * depth in output.text


@pytest.mark.parametrize(
    ("service", "requests"),
    [
        ({}, 60),
        ({"largest_page": 50}, 402),
        ({"largest_limit": 100}, 210),
    ],
)
def test_page_size_adapts_to_the_service(make_sandbox, lead_to, service, requests):
    sandbox: Sandbox = make_sandbox(0)
    sandbox.carts = make_sandbox(2000).carts * 10
    for name, value in service.items():
        setattr(sandbox, name, value)
    output = lead_to(sandbox).read(sandbox.config, STREAM)
    assert output.code == 0
    assert len(output.records(STREAM)) == 20_000
    assert len(sandbox.requests) <= requests
    assert len([line for line in output.logs("INFO") if "per page" in line]) <= 1


def test_state_file_may_be_global(sandbox, connector):
    entry = state_file({STREAM: {"modificationDate": "2025-03-01T12:00:00Z"}})[0]["stream"]
    given = [{"type": "GLOBAL", "global": {"stream_states": [entry]}}]
    output = connector.run("read", config=sandbox.config, catalog=catalog(STREAM), state=given)
    assert 0 < len(output.records(STREAM)) < len(sandbox.carts)
