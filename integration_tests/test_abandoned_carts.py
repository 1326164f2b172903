"""Scans of the list of abandoned carts: what comes, what is saved, what a second sync reads."""

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


def tokens(records: list[dict[str, Any]]) -> list[str]:
    return [record["token"] for record in records]


def instant(text: str) -> datetime:
    """Read RFC 3339 in UTC with any number of fraction digits, which Python 3.10 does not."""
    assert text.endswith("Z")
    whole, _, fraction = text[:-1].partition(".")
    moment = datetime.strptime(whole, "%Y-%m-%dT%H:%M:%S").replace(tzinfo=timezone.utc)
    return moment.replace(microsecond=int(fraction[:6].ljust(6, "0")))


def test_each_cart_comes_as_the_api_gives_it_but_for_dates_and_half_emoji(sandbox, connector):
    sandbox.carts[0].document |= {"newField": {"deep": [1, {"x": None}]}, "exact": 2**63 - 1}
    sandbox.carts[1].document["metadata"] = {"halves \udc00": ["\ud83d", "😀", 2**70, 1.5]}
    served = {cart.token: copy.deepcopy(cart.document) for cart in sandbox.carts}
    records = connector.read(sandbox.config, STREAM).records(STREAM)
    assert len(records) == len(served)
    for record in records:
        assert_same(record, served[record["token"]], top=True)


def assert_same(got: Any, given: Any, *, top: bool = False) -> None:
    """Compare with the API's JSON, but for date-times, half surrogates, and nulls at the top."""
    if isinstance(given, dict):
        given = {key.replace("\udc00", "\ufffd"): value for key, value in given.items()}
        for key, value in given.items():
            if key.endswith("Date") or key == "addedOn":
                if got.get(key) is None:
                    assert value in (None, NO_DATE, "soon")
                else:
                    expected = {form(instant(got[key])) for form in FORMS.values()}
                    assert value in expected
            elif top and value is None:
                assert key not in got
            else:
                assert_same(got[key], value)
        assert set(got) <= set(given)
    elif isinstance(given, list):
        assert len(got) == len(given)
        for one, other in zip(got, given, strict=True):
            assert_same(one, other)
    elif isinstance(given, str):
        assert got == "".join("\ufffd" if "\ud800" <= c <= "\udfff" else c for c in given)
    else:
        assert got == given


def test_the_schema_accepts_every_record(sandbox, connector):
    (message,) = connector.run("discover", config=sandbox.config).of("CATALOG")
    schemas = {s["name"]: s["json_schema"] for s in message["catalog"]["streams"]}
    output = connector.read(sandbox.config, STREAM, "cart_stats")
    for stream, schema in schemas.items():
        validator = jsonschema.Draft7Validator(schema)
        for record in output.records(stream):
            validator.validate(record)


def test_carts_before_the_start_date_are_left_out_and_undated_ones_are_not(sandbox, connector):
    config = {**sandbox.config, "start_date": "2025-03-01T12:00:00Z"}
    for mode in ("full_refresh", "incremental"):
        records = connector.read(config, STREAM, mode=mode).records(STREAM)
        assert tokens(records) == [
            cart.token for cart in sandbox.carts if cart.modified is None or cart.modified >= SINCE
        ]


def test_all_filters_go_along_with_every_page(sandbox, connector):
    sandbox.largest_page = 7
    config = {
        **sandbox.config,
        "snipcart_time_range": "Anytime",
        "snipcart_minimal_value": 24.2,
        "snipcart_product_id": "poster/a2",
        "snipcart_page_size": 9,
    }
    records = connector.read(config, STREAM).records(STREAM)
    assert 7 < len(records) < len(sandbox.carts)
    assert all(record["total"] >= 24.2 for record in records)
    assert all("poster/a2" in [i["id"] for i in record["items"]] for record in records)
    for request in sandbox.requests:
        assert request.query["timeRange"] == "Anytime"
        assert request.query["minimalValue"] == "24.2"
        assert request.query["productId"] == "poster/a2"
        assert request.query["limit"] == "9"
    config = {
        **sandbox.config,
        "snipcart_email": "customer5@shop.example",
        "snipcart_campaign_id": "a b+c&d",
        "snipcart_time_range": "LessThanAMonth",
    }
    del sandbox.requests[:]
    assert connector.read(config, STREAM).code == 0
    (request,) = sandbox.requests
    assert request.query["email"] == "customer5@shop.example"
    assert request.query["campaignId"] == "a b+c&d"
    assert request.query["timeRange"] == "LessThanAMonth"


def test_fractions_of_different_length_are_compared_as_time(sandbox, connector):
    whole = datetime(2025, 6, 1, 10, 0, 5, tzinfo=timezone.utc)
    texts = {
        "2025-06-01T10:00:05Z": True,
        "2025-06-01T10:00:04.99Z": False,
        "2025-06-01T10:00:05.5Z": True,
        "2025-06-01T10:00:05.4999999Z": True,
        "2025-06-01T12:00:05+02:00": True,
        "2025-06-01T10:00:04.9999999": False,
        "2025-06-01T10:00:05.50000000001Z": True,
        int(whole.timestamp()): True,
        str(int(whole.timestamp()) - 1): False,
        int(whole.timestamp()) + 0.25: True,
    }
    del sandbox.carts[len(texts) :]
    for cart, text in zip(sandbox.carts, texts, strict=True):
        cart.document["modificationDate"] = text
    state = {STREAM: {"modificationDate": "2025-06-01T10:00:05.000Z"}}
    output = connector.read(sandbox.config, STREAM, state=state)
    assert tokens(output.records(STREAM)) == [
        cart.token for cart, passes in zip(sandbox.carts, texts.values(), strict=True) if passes
    ]
    assert output.states(STREAM) == [{"modificationDate": "2025-06-01T10:00:05.50000000001Z"}]


def test_a_second_sync_passes_on_only_what_changed(sandbox, connector):
    first = connector.read(sandbox.config, STREAM)
    (state,) = first.states(STREAM)
    newest = max(cart.modified for cart in sandbox.carts if cart.modified)
    assert instant(state["modificationDate"]) == newest
    sandbox.carts[3].touch(sandbox.now() - timedelta(seconds=5), "seconds as text")
    second = connector.read(sandbox.config, STREAM, state={STREAM: state})
    expected = [
        cart.token for cart in sandbox.carts if cart.modified is None or cart.modified >= newest
    ]
    assert tokens(second.records(STREAM)) == expected
    assert sandbox.carts[3].token in expected


def test_a_full_refresh_looks_at_neither_cursor_nor_place(sandbox, connector):
    state = {
        "modificationDate": "2999-01-01T00:00:00Z",
        "scan": {"token": "gone", "filters": "x", "began": "2025-01-01T00:00:00Z"},
    }
    output = connector.read(sandbox.config, STREAM, state={STREAM: state}, mode="full_refresh")
    assert len(output.records(STREAM)) == len(sandbox.carts)
    assert output.logs("WARN") == []


@pytest.mark.parametrize("hours", [-1, 1])
def test_a_cart_touched_behind_the_reader_is_read_next_time(sandbox, connector, hours):
    sandbox.clock_offset = hours * 3600
    touched = sandbox.carts[2]

    def touch(request: Any) -> None:
        # The first page has been read when the second one is asked for.
        if "continuationToken" in request.query and len(sandbox.requests) == 2:
            touched.touch(sandbox.now(), "iso7")
            sandbox.carts[-1].touch(sandbox.now() + timedelta(microseconds=1), "iso7")

    sandbox.before = touch
    first = connector.read(sandbox.config, STREAM)
    (state,) = first.states(STREAM)
    assert instant(state["modificationDate"]) < touched.modified
    sandbox.before = None
    second = connector.read(sandbox.config, STREAM, state={STREAM: state})
    got = {record["token"]: record for record in second.records(STREAM)}
    assert instant(got[touched.token]["modificationDate"]) == touched.modified


def test_without_a_date_header_the_clock_of_this_machine_counts(sandbox, connector):
    sandbox.tells_time = False
    sandbox.carts[0].touch(sandbox.now() + timedelta(hours=1))
    before = sandbox.now()
    (state,) = connector.read(sandbox.config, STREAM).states(STREAM)
    assert before - timedelta(seconds=1) <= instant(state["modificationDate"]) <= sandbox.now()


def test_a_slow_first_answer_moves_the_beginning_back(sandbox, connector):
    sandbox.carts[0].touch(sandbox.now() + timedelta(hours=1))
    sandbox.faults = [Fault("slow", seconds=3)]
    before = sandbox.now()
    (state,) = connector.read(sandbox.config, STREAM).states(STREAM)
    assert instant(state["modificationDate"]) <= before + timedelta(seconds=2)


def test_undated_carts_always_pass_and_never_move_the_cursor(sandbox, connector):
    del sandbox.carts[4:]
    dates = [None, NO_DATE, "yesterday", True]
    for cart, date in zip(sandbox.carts, dates, strict=True):
        cart.document["modificationDate"] = date
    assert connector.read(sandbox.config, STREAM).states(STREAM) == [{}]
    state = {"modificationDate": "2025-12-01T00:00:00Z"}
    output = connector.read(sandbox.config, STREAM, state={STREAM: state})
    assert len(output.records(STREAM)) == 4
    assert all("modificationDate" not in record for record in output.records(STREAM))
    assert output.states(STREAM) == [state]


def test_a_state_in_the_future_gives_nothing_and_is_kept(sandbox, connector):
    state = {"modificationDate": "2999-01-01T00:00:00Z"}
    output = connector.read(sandbox.config, STREAM, state={STREAM: state})
    assert (output.code, output.of("RECORD"), output.states(STREAM)) == (0, [], [state])


def test_nothing_abandoned_leaves_no_state(sandbox, connector):
    sandbox.carts.clear()
    assert connector.read(sandbox.config, STREAM).states(STREAM) == [{}]


def test_kill_9_in_the_middle_loses_nothing_and_does_not_start_over(make_sandbox, lead_to):
    sandbox: Sandbox = make_sandbox(3000)
    connector = lead_to(sandbox)
    messages = read_and_kill(connector, sandbox, sandbox.config, STREAM, records=1900, requests=40)
    (*_, state) = [m["state"]["stream"]["stream_state"] for m in messages if m["type"] == "STATE"]
    first = {m["record"]["data"]["token"] for m in messages if m["type"] == "RECORD"}
    del sandbox.requests[:]
    second = connector.read(sandbox.config, STREAM, state={STREAM: state})
    again = set(tokens(second.records(STREAM)))
    assert first | again == {cart.token for cart in sandbox.carts}
    assert len(first & again) <= 1000
    assert sandbox.requests[0].query["continuationToken"] == state["scan"]["token"]
    (*_, last) = second.states(STREAM)
    assert set(last) == {"modificationDate"}
    newest = max(cart.modified for cart in sandbox.carts if cart.modified)
    assert instant(last["modificationDate"]) == newest


def test_every_state_completes_the_records_before_it(make_sandbox, lead_to):
    sandbox: Sandbox = make_sandbox(2200)
    connector = lead_to(sandbox)
    output = connector.read(sandbox.config, STREAM)
    seen: set[str] = set()
    tried = 0
    for message in output.messages:
        if message["type"] == "RECORD":
            seen.add(message["record"]["data"]["token"])
        elif message["type"] == "STATE":
            state = message["state"]["stream"]["stream_state"]
            assert len(json.dumps(state)) < 1000
            rest = connector.read(sandbox.config, STREAM, state={STREAM: state})
            assert rest.code == 0
            assert seen | set(tokens(rest.records(STREAM))) == {c.token for c in sandbox.carts}
            tried += 1
    assert tried >= 3


def place(sandbox: Sandbox, connector: Any) -> dict[str, Any]:
    """Give the first state of a scan that holds a place."""
    state = connector.read(sandbox.config, STREAM).states(STREAM)[0]
    assert "scan" in state
    return state


def test_a_scan_taken_up_again_keeps_its_beginning(make_sandbox, lead_to):
    sandbox: Sandbox = make_sandbox(1200)
    connector = lead_to(sandbox)
    state = place(sandbox, connector)
    state["scan"]["began"] = "2025-02-01T00:00:00Z"
    output = connector.read(sandbox.config, STREAM, state={STREAM: state})
    assert output.states(STREAM)[-1] == {"modificationDate": "2025-02-01T00:00:00Z"}


@pytest.mark.parametrize("status", [400, 404, 410, 422, 500])
def test_a_place_the_api_no_longer_knows_means_a_fresh_scan(make_sandbox, lead_to, status):
    sandbox: Sandbox = make_sandbox(1200)
    connector = lead_to(sandbox)
    state = place(sandbox, connector)
    state["modificationDate"] = "2025-03-01T12:00:00Z"
    tries = 6 if status == 500 else 1
    sandbox.faults = [Fault("status", times=tries, status=status)]
    output = connector.read(sandbox.config, STREAM, state={STREAM: state}, fast=True)
    assert output.code == 0
    assert tokens(output.records(STREAM)) == [
        cart.token for cart in sandbox.carts if cart.modified is None or cart.modified >= SINCE
    ]
    assert len(output.logs("WARN")) == 1


@pytest.mark.parametrize("status", [401, 403])
def test_a_refused_key_is_no_unknown_place(make_sandbox, lead_to, status):
    sandbox: Sandbox = make_sandbox(1200)
    connector = lead_to(sandbox)
    state = place(sandbox, connector)
    sandbox.faults = [Fault("status", status=status)]
    del sandbox.requests[:]
    output = connector.read(sandbox.config, STREAM, state={STREAM: state})
    assert output.error(STREAM)["failure_type"] == "config_error"
    assert (len(sandbox.requests), output.states(STREAM)) == (1, [])


def test_other_filters_mean_an_unknown_place(make_sandbox, lead_to):
    sandbox: Sandbox = make_sandbox(1200)
    connector = lead_to(sandbox)
    state = place(sandbox, connector)
    del sandbox.requests[:]
    config = {**sandbox.config, "snipcart_minimal_value": 20}
    output = connector.read(config, STREAM, state={STREAM: state})
    assert "continuationToken" not in sandbox.requests[0].query
    assert all(record["total"] >= 20 for record in output.records(STREAM))
    assert len(output.logs("WARN")) == 1


@pytest.mark.parametrize(
    "body",
    [
        [],
        {"hasMoreResults": False},
        {"items": {}, "hasMoreResults": False},
        {"items": [{}, 5], "hasMoreResults": False},
        {"items": []},
        {"items": [], "hasMoreResults": "no"},
        {"items": [], "hasMoreResults": True},
        {"items": [], "hasMoreResults": True, "continuationToken": None},
        {"items": [], "hasMoreResults": True, "continuationToken": ""},
    ],
)
def test_an_answer_that_is_no_page_is_an_error(sandbox, connector, body):
    sandbox.faults = [Fault("status", times=9, status=200, body=body)]
    output = connector.read(sandbox.config, STREAM)
    assert (output.code, output.of("RECORD"), output.states(STREAM)) == (1, [], [])
    assert output.error(STREAM)["failure_type"] == "system_error"
    assert len(sandbox.requests) == 1


def test_tokens_that_go_round_are_an_error_and_not_a_loop(sandbox, connector):
    pages = [
        Fault("status", status=200, body={"items": [{"token": str(n)}], "hasMoreResults": True,
                                          "continuationToken": token})
        for n, token in enumerate(["Cart|a", "Cart|b", "Cart|a", "Cart|b"])
    ]  # fmt: skip
    sandbox.faults = pages
    output = connector.read(sandbox.config, STREAM)
    assert output.error(STREAM)["failure_type"] == "system_error"
    assert len(sandbox.requests) == 3
    assert output.states(STREAM) == []


def test_short_and_empty_pages_are_no_end(sandbox, connector):
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


def test_a_place_follows_a_large_page(sandbox, connector):
    page = {"items": [{"token": "x"}] * 1500, "hasMoreResults": True}
    sandbox.faults = [
        Fault("status", status=200, body={**page, "continuationToken": "Cart|a"}),
        Fault("status", status=400, times=9),
    ]
    output = connector.read(sandbox.config, STREAM)
    assert [state["scan"]["token"] for state in output.states(STREAM)] == ["Cart|a"]


@pytest.mark.parametrize("depth", [300, 1000])
def test_a_deeply_nested_cart_is_passed_on(sandbox, connector, depth):
    cart = '{"token": "x", "metadata": ' + "[" * depth + "]" * depth + "}"
    body = f'{{"items": [{cart}], "hasMoreResults": false}}'
    sandbox.faults = [Fault("status", status=200, body=body)]
    output = connector.read(sandbox.config, STREAM)
    assert output.code == 0
    assert "[" * depth in output.text


def test_state_files_may_be_global(sandbox, connector):
    state = {"modificationDate": "2025-03-01T12:00:00Z"}
    entry = state_file({STREAM: state})[0]["stream"]
    given = [{"type": "GLOBAL", "global": {"stream_states": [entry]}}]
    output = connector.run("read", config=sandbox.config, catalog=catalog(STREAM), state=given)
    assert 0 < len(output.records(STREAM)) < len(sandbox.carts)
