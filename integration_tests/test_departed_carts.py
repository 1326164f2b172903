"""Which carts left Snipcart's list, and what became of them."""

import json
from datetime import timedelta
from typing import Any

import pytest

from sandbox import Fault, Sandbox

from .conftest import Connector, Output, catalog, read_and_kill
from .test_abandoned_carts import instant

STREAM = "departed_carts"


class Shop:
    """A sandbox, and the state of the last sync."""

    def __init__(self, sandbox: Sandbox, connector: Connector) -> None:
        self.sandbox = sandbox
        self.connector = connector
        self.config = {**sandbox.config, "snipcart_departed_carts": True}
        self.state: dict[str, Any] = {}

    def sync(self, code: int = 0, **settings: Any) -> list[tuple[str, str | None]]:
        """Sync; return the tokens of the departures with their statuses."""
        del self.sandbox.requests[:]
        output: Output = self.connector.read(
            {**self.config, **settings}, STREAM, state={STREAM: self.state}, fast=True
        )
        assert output.code == code, output.text
        self.output = output
        for state in output.states(STREAM):
            assert len(json.dumps(state)) < 256 * 1024
            self.state = state
        return [(record["token"], record.get("status")) for record in output.records(STREAM)]


@pytest.fixture
def shop(sandbox, connector):
    return Shop(sandbox, connector)


def test_reports_what_became_of_carts_that_left(shop):
    now = shop.sandbox.now()
    completed, deleted, hidden, waiting = shop.sandbox.carts[3:7]
    shop.sandbox.deleted_status = 410
    assert shop.sync() == []
    before = shop.state["noticed_at"]
    assert shop.sync() == []
    completed.complete(now)
    deleted.delete()
    hidden.on_list = waiting.on_list = False
    departures = shop.sync()
    assert departures == [(completed.token, "Processed"), (deleted.token, None)]
    gone, found = shop.output.records(STREAM)[1], shop.output.records(STREAM)[0]["cart"]
    assert "cart" not in gone
    assert abs(instant(found["completionDate"]) - now) < timedelta(seconds=1)
    assert before <= gone["last_seen_at"] < gone["noticed_at"] == shop.state["noticed_at"]
    hidden.complete(shop.sandbox.now(), "Shipped")
    assert shop.sync() == [(hidden.token, "Shipped")]
    assert shop.output.records(STREAM)[0]["last_seen_at"] == gone["last_seen_at"]
    completed.put_back()
    assert shop.sync() == []
    completed.complete(shop.sandbox.now())
    assert shop.sync() == [(completed.token, "Processed")]


def test_missed_page_is_no_departure(shop):
    shop.sandbox.largest_page = 25
    shop.sync()

    def leave(request: Any) -> None:
        if "continuationToken" in request.query:
            shop.sandbox.carts[0].complete(shop.sandbox.now())

    shop.sandbox.before = leave
    assert shop.sync() == []  # a later cart moved to a page that had been read
    shop.sandbox.before = None
    assert shop.sync() == [(shop.sandbox.carts[0].token, "Processed")]


def test_requests_500_carts_per_sync_and_knows_5000(make_sandbox, lead_to):
    shop = Shop(sandbox := make_sandbox(5_200), None)
    shop.connector = lead_to(sandbox)
    shop.sync()
    assert sum(len(tokens) for tokens in shop.state["known"].values()) == 5_000
    known = {token for tokens in shop.state["known"].values() for token in tokens}
    newest = sorted((c for c in sandbox.carts if c.modified), key=lambda cart: cart.modified)
    assert {cart.token for cart in newest[-4_000:]} <= known
    left = [cart for cart in sandbox.carts if cart.token in known][:700]
    for cart in left:
        cart.delete()
    first = shop.sync()
    assert len(first) == 500
    second = shop.sync()
    assert sorted(first + second) == sorted((cart.token, None) for cart in left)
    assert shop.sync() == []


@pytest.mark.parametrize(
    ("status", "failure_type"), [(401, "config_error"), (429, "transient_error"),
                                 (500, "transient_error"), (400, "system_error")],
)  # fmt: skip
def test_failing_sync_repeats_its_departures(shop, status, failure_type):
    shop.sync()
    left = shop.sandbox.carts[2:5]
    for cart in left:
        cart.delete()
    shop.sandbox.faults = [
        Fault("status", times=99, status=status, when=lambda r: r.path.endswith(left[1].token))
    ]
    everything = {(cart.token, None) for cart in left}
    assert set(shop.sync(code=1)) <= everything - {(left[1].token, None)}
    assert shop.output.error(STREAM)["failure_type"] == failure_type
    assert shop.output.states(STREAM) == []
    shop.sandbox.faults = []
    assert set(shop.sync()) == everything


def test_loses_nothing_when_killed(shop):
    shop.sync()
    left = shop.sandbox.carts[2:42]
    for cart in left:
        cart.delete()
    messages = read_and_kill(
        shop.connector, shop.sandbox, shop.config, STREAM,
        state=shop.state, records=3, requests=8,
    )  # fmt: skip
    assert not [message for message in messages if message["type"] == "STATE"]
    assert len(shop.sync()) == 40


def test_is_opt_in_and_incremental_only(shop):
    config = shop.sandbox.config
    streams = {}
    for turned_on in (False, True):
        settings = {**config, "snipcart_departed_carts": turned_on}
        (message,) = shop.connector.run("discover", config=settings).of("CATALOG")
        streams[turned_on] = {s["name"]: s for s in message["catalog"]["streams"]}
    assert set(streams[True]) - set(streams[False]) == {STREAM}
    assert streams[True][STREAM]["supported_sync_modes"] == ["incremental"]
    assert streams[True][STREAM]["source_defined_primary_key"] == [["token"]]
    assert streams[True][STREAM]["default_cursor_field"] == ["noticed_at"]
    refused = shop.connector.run("read", config=config, catalog=catalog(STREAM))
    assert refused.error(STREAM)["failure_type"] == "config_error"
    assert "snipcart_departed_carts" in refused.error(STREAM)["message"]
    output = shop.connector.read(shop.config, *streams[True])
    assert output.code == 0
    assert len(output.records("abandoned_carts")) == len(shop.sandbox.carts)


def test_cart_outside_the_filters_stays_known(shop):
    shop.sync()
    assert shop.sync(snipcart_minimal_value=100) == []
    kept = [r for r in shop.sandbox.requests if "limit" not in r.query]
    assert 0 < len(kept) < len(shop.sandbox.carts)
    shop.sandbox.carts[0].complete(shop.sandbox.now())
    assert shop.sync() == [(shop.sandbox.carts[0].token, "Processed")]
