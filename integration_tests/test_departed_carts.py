"""Carts that leave Snipcart's list: which are reported, with which status."""

import json
from datetime import timedelta

import jsonschema
import pytest

from tools.processes import catalog
from tools.sandbox import Fault, make_carts

from .harness import SyncedStream, instant

STREAM = "departed_carts"


@pytest.fixture
def stream(sandbox, connector):
    return SyncedStream(sandbox, connector, STREAM, snipcart_departed_carts=True)


def departures(stream, **options):
    """Sync. Return the tokens of the departures with their statuses."""
    return [(record["token"], record["status"]) for record in stream.sync(**options)]


def delete(carts):
    """Delete carts. Return their departures."""
    for cart in carts:
        cart.delete()
    return {(cart.token, None) for cart in carts}


def test_reports_completed_and_deleted_carts(stream):
    now = stream.sandbox.now()
    completed, deleted = stream.sandbox.carts[3:5]
    assert departures(stream) == []
    before = stream.state["noticed_at"]
    completed.complete(now)
    delete([deleted])
    assert departures(stream) == [(completed.token, "Processed"), (deleted.token, None)]
    found, gone = stream.output.records(STREAM)
    assert gone["cart"] is None
    assert abs(instant(found["cart"]["completionDate"]) - now) < timedelta(seconds=1)
    assert before == gone["last_seen_at"] <= gone["noticed_at"] == stream.state["noticed_at"]


def test_reports_the_departure_of_a_cart_that_was_off_the_list_before(stream):
    hidden, waiting = stream.sandbox.carts[3:5]
    stream.sync()
    last_seen_at = stream.state["noticed_at"]
    hidden.on_list = waiting.on_list = False
    assert departures(stream) == []
    hidden.complete(stream.sandbox.now(), "Shipped")
    delete([waiting])
    stream.sandbox.deleted_status = 410
    assert set(departures(stream)) == {(hidden.token, "Shipped"), (waiting.token, None)}
    assert {record["last_seen_at"] for record in stream.output.records(STREAM)} == {last_seen_at}


def test_reports_a_cart_again_that_was_back_on_the_list(stream):
    cart = stream.sandbox.carts[3]
    stream.sync()
    departure = (cart.token, "Processed")
    cart.complete(stream.sandbox.now())
    assert departures(stream) == [departure]
    cart.put_back()
    assert departures(stream) == []
    cart.complete(stream.sandbox.now())
    assert departures(stream) == [departure]


def test_records_match_the_schema(stream):
    stream.sync()
    for cart in stream.sandbox.carts[:-1]:
        cart.complete(stream.sandbox.now())
    delete(stream.sandbox.carts[-1:])
    (message,) = stream.connector.run("discover", config=stream.config).of("CATALOG")
    schemas = {s["name"]: s["json_schema"] for s in message["catalog"]["streams"]}
    records = stream.sync()
    assert len(records) == len(stream.sandbox.carts)
    for record in records:
        jsonschema.Draft7Validator(schemas[STREAM]).validate(record)


def test_missed_cart_is_no_departure(stream):
    stream.sandbox.largest_page = 25
    stream.sync()
    first = stream.sandbox.carts[0]

    def leave(request):
        if "continuationToken" in request.query:
            first.complete(stream.sandbox.now())

    stream.sandbox.before = leave
    assert departures(stream) == []  # a later cart moved to a page that was read before
    stream.sandbox.before = None
    assert departures(stream) == [(first.token, "Processed")]


def test_requests_500_carts_per_sync_and_knows_5000(stream, sandbox):
    sandbox.carts = make_carts(5_200)
    for cart in sandbox.carts:
        cart.document["items"] = []  # to make the pages smaller
    stream.sync()
    known = {token for tokens in stream.state["known"].values() for token in tokens}
    assert len(known) == 5_000
    newest = sorted((c for c in sandbox.carts if c.modified), key=lambda cart: cart.modified)
    assert {cart.token for cart in newest[-4_900:]} <= known
    expected = delete([cart for cart in sandbox.carts if cart.token in known][:520])
    first = departures(stream)
    assert len(first) == 500
    assert {*first, *departures(stream)} == expected


def test_requests_carts_in_turns(stream, sandbox):
    sandbox.carts = make_carts(640)
    stream.sync()
    for cart in sandbox.carts[:600]:
        cart.on_list = False
    assert departures(stream) == []
    first = [request.path for request in sandbox.requests if "limit" not in request.query]
    left = delete(sandbox.carts[600:])
    # The carts that were never requested come first: 40 new ones, and 100 of the others.
    assert set(departures(stream)) == left
    second = [request.path for request in sandbox.requests if "limit" not in request.query]
    assert len(first) == len(set(first)) == len(second) == len(set(second)) == 500
    assert set(first).isdisjoint(second[:140])
    assert second[140:] == first[:360]


def test_state_stays_below_256_kib(stream, sandbox):
    sandbox.carts = make_carts(5_200)
    for number, cart in enumerate(sandbox.carts):
        cart.document |= {"token": f'{number:04}"{"車" * 35}', "items": []}
    sandbox.carts[0].document["token"] = "x" * 300_000
    sandbox.carts[0].touch(sandbox.now())
    stream.sync()
    assert 250_000 < len(json.dumps(stream.state, ensure_ascii=False).encode()) < 262_144
    (tokens,) = stream.state["known"].values()
    newest = sorted((c for c in sandbox.carts[1:] if c.modified), key=lambda cart: cart.modified)
    assert {cart.token for cart in newest[100 - len(tokens) :]} <= set(tokens)
    expected = delete([cart for cart in sandbox.carts if cart.token in tokens[:9]])
    assert set(departures(stream)) == expected


def test_warns_after_a_pause_of_more_than_30_days(stream):
    stream.sync()
    stream.sandbox.clock_offset = 29 * 86_400
    delete(stream.sandbox.carts[:1])
    assert len(departures(stream)) == 1
    assert stream.output.logs("WARN") == []
    stream.sandbox.clock_offset += 45 * 86_400
    delete(stream.sandbox.carts[1:2])
    assert departures(stream) == []
    (warning,) = stream.output.logs("WARN")
    assert "was 45 days ago. Carts that left the list in the meantime are unknown." in warning


@pytest.mark.parametrize(
    ("status", "cause"),
    [(401, "config"), (429, "transient"), (503, "transient"), (400, "system"), (422, "system")],
)
def test_failing_cart_keeps_no_other_from_its_turn(stream, status, cause):
    stream.sync()
    failing, *others = stream.sandbox.carts[2:5]
    expected = delete(others)
    delete([failing])
    stream.sandbox.faults = [
        Fault("status", times=99, status=status, when=lambda r: r.path.endswith(failing.token))
    ]
    for reported in (expected, set()):
        assert set(departures(stream, code=1)) == reported
        assert stream.output.error(STREAM)["failure_type"] == f"{cause}_error"
    stream.sandbox.faults = []
    assert departures(stream) == [(failing.token, None)]


def test_failing_service_ends_the_sync_after_three_carts(stream):
    stream.sync()
    delete(stream.sandbox.carts)
    fault = Fault("status", times=999, status=503, when=lambda r: "limit" not in r.query)
    stream.sandbox.faults = [fault]
    assert departures(stream, code=1) == []
    assert stream.output.error(STREAM)["failure_type"] == "transient_error"
    assert len(stream.sandbox.requests) == 1 + 3 * 6
    stream.sandbox.faults = []
    assert len(departures(stream)) == len(stream.sandbox.carts)


def test_loses_nothing_when_killed(stream):
    stream.sync()
    state = stream.state
    expected = delete(stream.sandbox.carts[2:42])
    stream.sync_and_kill(records=3, requests=8)
    assert stream.state == state
    assert set(departures(stream)) == expected


def test_is_opt_in_and_incremental_only(stream):
    found = {}
    for is_on in (False, True):
        config = {**stream.config, "snipcart_departed_carts": is_on}
        (message,) = stream.connector.run("discover", config=config).of("CATALOG")
        found[is_on] = {s["name"]: s for s in message["catalog"]["streams"]}
    assert set(found[True]) - set(found[False]) == {STREAM}
    assert found[True][STREAM]["supported_sync_modes"] == ["incremental"]
    assert found[True][STREAM]["source_defined_primary_key"] == [["token"]]
    assert found[True][STREAM]["default_cursor_field"] == ["noticed_at"]
    config = stream.sandbox.config
    error = stream.connector.run("read", config=config, catalog=catalog(STREAM)).error(STREAM)
    assert error["failure_type"] == "config_error"
    assert "snipcart_departed_carts" in error["message"]


def test_cart_outside_the_filters_stays_known(stream):
    stream.sync()
    assert departures(stream, snipcart_minimal_value=100) == []
    requested = [r for r in stream.sandbox.requests if "limit" not in r.query]
    assert 0 < len(requested) < len(stream.sandbox.carts)
    stream.sandbox.carts[0].complete(stream.sandbox.now())
    assert departures(stream) == [(stream.sandbox.carts[0].token, "Processed")]
