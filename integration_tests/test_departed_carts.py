"""Carts that leave Snipcart's list: which are reported, with which status."""

from datetime import timedelta
from typing import Any

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


@pytest.mark.parametrize(
    ("status", "cause"), [(401, "config"), (429, "transient"), (503, "transient"), (400, "system")]
)
def test_next_sync_repeats_the_departures_of_a_failed_one(shop, status, cause):
    shop.sync()
    left = shop.sandbox.carts[2:5]
    expected = delete(left)
    shop.sandbox.faults = [
        Fault("status", times=99, status=status, when=lambda r: r.path.endswith(left[1].token))
    ]
    assert set(departures(shop, code=1)) <= expected - {(left[1].token, None)}
    assert shop.output.error(STREAM)["failure_type"] == f"{cause}_error"
    assert shop.output.states(STREAM) == []
    shop.sandbox.faults = []
    assert set(departures(shop)) == expected


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
