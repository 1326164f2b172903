"""Carts that leave Snipcart's list: which are reported, with which status."""

import json
from datetime import timedelta
from typing import Any

import jsonschema
import pytest

from tools.sandbox import Fault, make_carts

from .conftest import Shop, catalog, instant

STREAM = "departed_carts"


@pytest.fixture
def shop(sandbox, connector):
    return Shop(sandbox, connector, STREAM, snipcart_departed_carts=True)


def departures(shop: Shop, **options: Any) -> list[tuple[str, str | None]]:
    """Sync. Return the tokens of the departures with their statuses."""
    return [(record["token"], record["status"]) for record in shop.sync(**options)]


def delete(carts: list[Any]) -> set[tuple[str, None]]:
    """Delete carts. Return their departures."""
    for cart in carts:
        cart.delete()
    return {(cart.token, None) for cart in carts}


def test_reports_completed_and_deleted_carts(shop):
    now = shop.sandbox.now()
    completed, deleted, hidden, waiting = shop.sandbox.carts[3:7]
    assert departures(shop) == []
    before = shop.state["noticed_at"]
    completed.complete(now)
    delete([deleted])
    hidden.on_list = waiting.on_list = False
    assert departures(shop) == [(completed.token, "Processed"), (deleted.token, None)]
    found, gone = shop.output.records(STREAM)
    assert gone["cart"] is None
    assert abs(instant(found["cart"]["completionDate"]) - now) < timedelta(seconds=1)
    assert before == gone["last_seen_at"] <= gone["noticed_at"] == shop.state["noticed_at"]
    hidden.complete(shop.sandbox.now(), "Shipped")
    delete([waiting])
    shop.sandbox.deleted_status = 410
    assert set(departures(shop)) == {(hidden.token, "Shipped"), (waiting.token, None)}
    assert {record["last_seen_at"] for record in shop.output.records(STREAM)} == {before}
    completed.put_back()
    assert departures(shop) == []
    completed.complete(shop.sandbox.now())
    assert departures(shop) == [(completed.token, "Processed")]


def test_records_match_the_schema(shop):
    shop.sync()
    for cart in shop.sandbox.carts[:-1]:
        cart.complete(shop.sandbox.now())
    delete(shop.sandbox.carts[-1:])
    (message,) = shop.connector.run("discover", config=shop.config).of("CATALOG")
    schemas = {stream["name"]: stream["json_schema"] for stream in message["catalog"]["streams"]}
    records = shop.sync()
    assert len(records) == len(shop.sandbox.carts)
    for record in records:
        jsonschema.Draft7Validator(schemas[STREAM]).validate(record)


def test_missed_cart_is_no_departure(shop):
    shop.sandbox.largest_page = 25
    shop.sync()
    first = shop.sandbox.carts[0]

    def leave(request: Any) -> None:
        if "continuationToken" in request.query:
            first.complete(shop.sandbox.now())

    shop.sandbox.before = leave
    assert departures(shop) == []  # a later cart moved to a page that was read before
    shop.sandbox.before = None
    assert departures(shop) == [(first.token, "Processed")]


def test_requests_500_carts_per_sync_and_knows_5000(shop, sandbox):
    sandbox.carts = make_carts(5_200)
    for cart in sandbox.carts:
        cart.document["items"] = []  # to make the pages smaller
    shop.sync()
    known = {token for tokens in shop.state["known"].values() for token in tokens}
    assert len(known) == 5_000
    newest = sorted((c for c in sandbox.carts if c.modified), key=lambda cart: cart.modified)
    assert {cart.token for cart in newest[-4_900:]} <= known
    expected = delete([cart for cart in sandbox.carts if cart.token in known][:520])
    first = departures(shop)
    assert len(first) == 500
    assert {*first, *departures(shop)} == expected


def test_requests_carts_in_turns(shop, sandbox):
    sandbox.carts = make_carts(640)
    shop.sync()
    for cart in sandbox.carts[:600]:
        cart.on_list = False
    assert departures(shop) == []
    first = [request.path for request in sandbox.requests if "limit" not in request.query]
    left = delete(sandbox.carts[600:])
    # The carts that were never requested come first: 40 new ones, and 100 of the others.
    assert set(departures(shop)) == left
    second = [request.path for request in sandbox.requests if "limit" not in request.query]
    assert len(first) == len(set(first)) == len(second) == len(set(second)) == 500
    assert set(first).isdisjoint(second[:140])
    assert second[140:] == first[:360]


def test_state_stays_below_256_kib(shop, sandbox):
    sandbox.carts = make_carts(5_200)
    for number, cart in enumerate(sandbox.carts):
        cart.document |= {"token": f'{number:04}"{"車" * 35}', "items": []}
    sandbox.carts[0].document["token"] = "x" * 300_000
    sandbox.carts[0].touch(sandbox.now())
    shop.sync()
    assert 250_000 < len(json.dumps(shop.state, ensure_ascii=False).encode()) < 262_144
    (tokens,) = shop.state["known"].values()
    newest = sorted((c for c in sandbox.carts[1:] if c.modified), key=lambda cart: cart.modified)
    assert {cart.token for cart in newest[100 - len(tokens) :]} <= set(tokens)
    expected = delete([cart for cart in sandbox.carts if cart.token in tokens[:9]])
    assert set(departures(shop)) == expected


def test_warns_after_a_pause_of_more_than_30_days(shop):
    shop.sync()
    shop.sandbox.clock_offset = 29 * 86_400
    delete(shop.sandbox.carts[:1])
    assert len(departures(shop)) == 1
    assert shop.output.logs("WARN") == []
    shop.sandbox.clock_offset += 45 * 86_400
    delete(shop.sandbox.carts[1:2])
    assert departures(shop) == []
    (warning,) = shop.output.logs("WARN")
    assert "was 45 days ago. Carts that left the list in the meantime are unknown." in warning


@pytest.mark.parametrize(
    ("status", "cause"),
    [(401, "config"), (429, "transient"), (503, "transient"), (400, "system"), (422, "system")],
)
def test_failing_cart_keeps_no_other_from_its_turn(shop, status, cause):
    shop.sync()
    failing, *others = shop.sandbox.carts[2:5]
    expected = delete(others)
    delete([failing])
    shop.sandbox.faults = [
        Fault("status", times=99, status=status, when=lambda r: r.path.endswith(failing.token))
    ]
    for reported in (expected, set()):
        assert set(departures(shop, code=1)) == reported
        assert shop.output.error(STREAM)["failure_type"] == f"{cause}_error"
    shop.sandbox.faults = []
    assert departures(shop) == [(failing.token, None)]


def test_failing_service_ends_the_sync_after_three_carts(shop):
    shop.sync()
    delete(shop.sandbox.carts)
    fault = Fault("status", times=999, status=503, when=lambda r: "limit" not in r.query)
    shop.sandbox.faults = [fault]
    assert departures(shop, code=1) == []
    assert shop.output.error(STREAM)["failure_type"] == "transient_error"
    assert len(shop.sandbox.requests) == 1 + 3 * 6
    shop.sandbox.faults = []
    assert len(departures(shop)) == len(shop.sandbox.carts)


def test_loses_nothing_when_killed(shop):
    shop.sync()
    state = shop.state
    expected = delete(shop.sandbox.carts[2:42])
    shop.sync_and_kill(records=3, requests=8)
    assert shop.state == state
    assert set(departures(shop)) == expected


def test_is_opt_in_and_incremental_only(shop):
    found = {}
    for is_on in (False, True):
        config = {**shop.config, "snipcart_departed_carts": is_on}
        (message,) = shop.connector.run("discover", config=config).of("CATALOG")
        found[is_on] = {stream["name"]: stream for stream in message["catalog"]["streams"]}
    assert set(found[True]) - set(found[False]) == {STREAM}
    assert found[True][STREAM]["supported_sync_modes"] == ["incremental"]
    assert found[True][STREAM]["source_defined_primary_key"] == [["token"]]
    assert found[True][STREAM]["default_cursor_field"] == ["noticed_at"]
    config = shop.sandbox.config
    error = shop.connector.run("read", config=config, catalog=catalog(STREAM)).error(STREAM)
    assert error["failure_type"] == "config_error"
    assert "snipcart_departed_carts" in error["message"]


def test_cart_outside_the_filters_stays_known(shop):
    shop.sync()
    assert departures(shop, snipcart_minimal_value=100) == []
    requested = [r for r in shop.sandbox.requests if "limit" not in r.query]
    assert 0 < len(requested) < len(shop.sandbox.carts)
    shop.sandbox.carts[0].complete(shop.sandbox.now())
    assert departures(shop) == [(shop.sandbox.carts[0].token, "Processed")]
