"""Scans of the list of abandoned carts: the records and states of several syncs."""

import copy
import json
import re
from datetime import timedelta
from typing import Any

import jsonschema
import pytest

from tools.sandbox import make_carts

from .conftest import CARTS, Shop, instant


def tokens(carts: list[Any]) -> list[str]:
    return [cart["token"] if isinstance(cart, dict) else cart.token for cart in carts]


@pytest.fixture
def shop(sandbox, connector):
    return Shop(sandbox, connector, CARTS)


def comparable(cart: dict[str, Any]) -> Any:
    """Remove date-times, and replace unpaired surrogates."""

    def without_dates(fields: dict[str, Any]) -> dict[str, Any]:
        dates = re.compile("creationDate|modificationDate|completionDate|addedOn")
        return {k: v for k, v in fields.items() if not dates.match(k)}

    text = json.dumps(cart, ensure_ascii=False).encode("utf-16", "surrogatepass")
    return json.loads(text.decode("utf-16", "replace"), object_hook=without_dates)


def test_records_match_the_api_and_the_schema(shop):
    new = {"deep": [1, {"x": None}], "200 levels": json.loads("[" * 200 + "]" * 200)}
    carts = shop.sandbox.carts
    carts[0].document |= {"newField": new, "exact": 2**63 - 1}
    carts[1].document["metadata"] = {"surrogate \udc00": ["\ud83d", "😀", 2**70, 1.5]}
    served = {cart.token: (copy.deepcopy(cart.document), cart.modified) for cart in carts}
    (message,) = shop.connector.run("discover", config=shop.config).of("CATALOG")
    schemas = {stream["name"]: stream["json_schema"] for stream in message["catalog"]["streams"]}
    output = shop.connector.read(shop.config, *schemas)
    for stream, schema in schemas.items():
        validator = jsonschema.Draft7Validator(schema)
        for record in output.records(stream):
            validator.validate(record)
    records = output.records(CARTS)
    assert len(records) == len(served)
    assert records[0]["newField"] == new
    for record in records:
        document, modified = served[record["token"]]
        assert comparable(record) == comparable(document)
        date = record.get("modificationDate")
        assert (date and instant(date)) == modified


@pytest.mark.parametrize(("levels", "code"), [(200, 0), (1_000, 1)])
def test_emits_200_levels_of_nested_values_and_reports_more(shop, levels, code):
    cart = '{"token": "x", "metadata": ' + "[" * levels + "]" * levels + "}"
    shop.sandbox.respond = lambda request: (200, f'{{"items": [{cart}], "hasMoreResults": false}}')
    output = shop.connector.read(shop.config, CARTS)
    assert output.code == code
    assert ("[" * levels in output.text) == (code == 0)
    if code:
        assert "more than 250 levels of nested values" in output.error(CARTS)["message"]


def test_tells_a_null_from_an_absent_field(shop):
    shop.sandbox.carts = shop.sandbox.carts[:2]
    null, absent = (cart.document for cart in shop.sandbox.carts)
    null |= {"completionDate": None, "user": None, "newField": None}
    del absent["completionDate"], absent["user"]
    records = {record["token"]: record for record in shop.sync()}
    assert set(records[null["token"]]) == set(null)
    assert set(records[absent["token"]]) == set(absent)


@pytest.mark.parametrize("mode", ["full_refresh", "incremental"])
def test_start_date_excludes_older_carts_but_not_undated_ones(shop, mode):
    config = {**shop.config, "start_date": "2025-03-01T12:00:00Z"}
    records = shop.connector.read(config, CARTS, mode=mode).records(CARTS)
    start = instant(config["start_date"])
    expected = [c for c in shop.sandbox.carts if c.modified is None or c.modified >= start]
    assert tokens(records) == tokens(expected)


def test_later_syncs_emit_changed_overlapping_and_undated_carts(shop):
    carts = shop.sandbox.carts
    last = max(cart.modified for cart in carts if cart.modified)
    carts[0].touch(shop.sandbox.now() + timedelta(days=9))
    carts[3].touch(last - timedelta(minutes=59))
    carts[4].touch(last - timedelta(minutes=80))
    assert len(shop.sync()) == len(carts)
    assert set(shop.state) == {"modificationDate", "filters", "start"}
    cursor = instant(shop.state["modificationDate"])
    assert last - timedelta(minutes=75) <= cursor <= last - timedelta(hours=1)
    carts[5].touch(shop.sandbox.now() - timedelta(seconds=5), "seconds as text")
    emitted = tokens(shop.sync())
    expected = [cart for cart in carts if cart.modified is None or cart.modified >= cursor]
    assert emitted == tokens(expected)
    assert [carts[n].token in emitted for n in (0, 3, 4, 5)] == [True, True, False, True]
    assert len(shop.sync(snipcart_minimal_value=1)) == len(carts)


def test_next_sync_emits_carts_modified_during_the_scan(shop):
    sandbox = shop.sandbox
    sandbox.clock_offset = 3600

    def touch(request: Any) -> None:
        if len(sandbox.requests) == 2:  # the first page has been read
            sandbox.carts[2].touch(sandbox.now(), "iso7")
            sandbox.carts[-1].touch(sandbox.now() + timedelta(microseconds=1), "iso7")

    sandbox.before = touch
    assert tokens(shop.sync()).count(sandbox.carts[2].token) == 1
    sandbox.before = None
    assert sandbox.carts[2].token in tokens(shop.sync())


@pytest.mark.parametrize("has_later_dates", [True, False])
def test_scan_without_a_date_in_the_first_response(shop, has_later_dates):
    """The local clock is five hours ahead of the service, and a cart is dated in between."""
    sandbox = shop.sandbox
    sandbox.clock_offset = -5 * 3600
    future = sandbox.now() + timedelta(hours=4)
    sandbox.carts[0].touch(future)

    def send_date(request: Any) -> None:
        sandbox.sends_date = has_later_dates and "continuationToken" in request.query

    sandbox.before = send_date
    shop.sync()
    cursor = instant(shop.state["modificationDate"])
    assert (cursor < sandbox.now() - timedelta(hours=1)) == has_later_dates
    assert any("no Date header" in text for text in shop.output.logs("WARN")) != has_later_dates
    sandbox.carts[1].touch(sandbox.now())
    assert (sandbox.carts[1].token in tokens(shop.sync())) == has_later_dates


@pytest.mark.parametrize("is_token_known", [True, False])
def test_resumes_after_kill_or_starts_over(shop, sandbox, is_token_known):
    sandbox.carts, sandbox.largest_page = make_carts(1500), 50
    covered = set(tokens(shop.sync_and_kill(records=1050, requests=22))[:550])
    assert len(json.dumps(shop.state)) < 1000
    token = shop.state["scan_token"]
    if not is_token_known:
        sandbox.forget_tokens()
    again = set(tokens(shop.sync()))
    assert sandbox.requests[0].query["continuationToken"] == token
    assert covered | again == set(tokens(sandbox.carts))
    assert covered.isdisjoint(again) == is_token_known
    assert ("No carts are lost." in "".join(shop.output.logs("WARN"))) != is_token_known
    assert set(shop.state) == {"modificationDate", "filters", "start"}
