"""Scans of the list of abandoned carts: the records and states of several syncs."""

import copy
import json
import re
from datetime import timedelta

import jsonschema
import pytest

from tools.sandbox import make_carts

from .harness import CARTS, SyncedStream, instant


def tokens(carts):
    return [cart["token"] if isinstance(cart, dict) else cart.token for cart in carts]


@pytest.fixture
def stream(sandbox, connector):
    return SyncedStream(sandbox, connector, CARTS)


def comparable(cart):
    """Remove date-times, and replace unpaired surrogates."""

    def without_dates(fields):
        dates = re.compile("creationDate|modificationDate|completionDate|addedOn")
        return {k: v for k, v in fields.items() if not dates.match(k)}

    text = json.dumps(cart, ensure_ascii=False).encode("utf-16", "surrogatepass")
    return json.loads(text.decode("utf-16", "replace"), object_hook=without_dates)


def test_records_match_the_api_and_the_schema(stream):
    new = {"deep": [1, {"x": None}], "200 levels": json.loads("[" * 200 + "]" * 200)}
    carts = stream.sandbox.carts
    carts[0].document |= {"newField": new, "exact": 2**63 - 1}
    carts[1].document["metadata"] = {"surrogate \udc00": ["\ud83d", "😀", 2**70, 1.5]}
    served = {cart.token: (copy.deepcopy(cart.document), cart.modified) for cart in carts}
    (message,) = stream.connector.run("discover", config=stream.config).of("CATALOG")
    schemas = {s["name"]: s["json_schema"] for s in message["catalog"]["streams"]}
    output = stream.connector.read(stream.config, *schemas)
    for name, schema in schemas.items():
        validator = jsonschema.Draft7Validator(schema)
        for record in output.records(name):
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
def test_emits_200_levels_of_nested_values_and_reports_more(stream, levels, code):
    cart = '{"token": "x", "metadata": ' + "[" * levels + "]" * levels + "}"
    stream.sandbox.respond = lambda request: (
        200,
        f'{{"items": [{cart}], "hasMoreResults": false}}',
    )
    output = stream.connector.read(stream.config, CARTS)
    assert output.code == code
    assert ("[" * levels in output.text) == (code == 0)
    if code:
        assert "more than 250 levels of nested values" in output.error(CARTS)["message"]


def test_tells_a_null_from_an_absent_field(stream):
    stream.sandbox.carts = stream.sandbox.carts[:2]
    null, absent = (cart.document for cart in stream.sandbox.carts)
    null |= {"completionDate": None, "user": None, "newField": None}
    del absent["completionDate"], absent["user"]
    records = {record["token"]: record for record in stream.sync()}
    assert set(records[null["token"]]) == set(null)
    assert set(records[absent["token"]]) == set(absent)


@pytest.mark.parametrize("mode", ["full_refresh", "incremental"])
def test_start_date_excludes_older_carts_but_not_undated_ones(stream, mode):
    config = {**stream.config, "start_date": "2025-03-01T12:00:00Z"}
    records = stream.connector.read(config, CARTS, mode=mode).records(CARTS)
    start = instant(config["start_date"])
    expected = [c for c in stream.sandbox.carts if c.modified is None or c.modified >= start]
    assert tokens(records) == tokens(expected)


def test_later_syncs_emit_changed_overlapping_and_undated_carts(stream):
    carts = stream.sandbox.carts
    last = max(cart.modified for cart in carts if cart.modified)
    carts[0].touch(stream.sandbox.now() + timedelta(days=9))
    carts[3].touch(last - timedelta(minutes=59))
    carts[4].touch(last - timedelta(minutes=80))
    assert len(stream.sync()) == len(carts)
    assert set(stream.state) == {"modificationDate", "filters", "start"}
    cursor = instant(stream.state["modificationDate"])
    assert last - timedelta(minutes=75) <= cursor <= last - timedelta(hours=1)
    carts[5].touch(stream.sandbox.now() - timedelta(seconds=5), "seconds as text")
    emitted = tokens(stream.sync())
    expected = [cart for cart in carts if cart.modified is None or cart.modified >= cursor]
    assert emitted == tokens(expected)
    assert [carts[n].token in emitted for n in (0, 3, 4, 5)] == [True, True, False, True]
    assert len(stream.sync(snipcart_minimal_value=1)) == len(carts)


def test_next_sync_emits_carts_modified_during_the_scan(stream):
    sandbox = stream.sandbox
    sandbox.clock_offset = 3600

    def touch(request):
        if len(sandbox.requests) == 2:  # the first page has been read
            sandbox.carts[2].touch(sandbox.now(), "iso7")
            sandbox.carts[-1].touch(sandbox.now() + timedelta(microseconds=1), "iso7")

    sandbox.before = touch
    assert tokens(stream.sync()).count(sandbox.carts[2].token) == 1
    sandbox.before = None
    assert sandbox.carts[2].token in tokens(stream.sync())


@pytest.mark.parametrize("has_later_dates", [True, False])
def test_scan_without_a_date_in_the_first_response(stream, has_later_dates):
    """The local clock is five hours ahead of the service, and a cart is dated in between."""
    sandbox = stream.sandbox
    sandbox.clock_offset = -5 * 3600
    future = sandbox.now() + timedelta(hours=4)
    sandbox.carts[0].touch(future)

    def send_date(request):
        sandbox.sends_date = has_later_dates and "continuationToken" in request.query

    sandbox.before = send_date
    stream.sync()
    cursor = instant(stream.state["modificationDate"])
    assert (cursor < sandbox.now() - timedelta(hours=1)) == has_later_dates
    assert any("no Date header" in text for text in stream.output.logs("WARN")) != has_later_dates
    sandbox.carts[1].touch(sandbox.now())
    assert (sandbox.carts[1].token in tokens(stream.sync())) == has_later_dates


@pytest.mark.parametrize("is_token_known", [True, False])
def test_resumes_after_kill_or_starts_over(stream, sandbox, is_token_known):
    sandbox.carts, sandbox.largest_page = make_carts(1500), 50
    covered = set(tokens(stream.sync_and_kill(records=1050, requests=22))[:550])
    assert len(json.dumps(stream.state)) < 1000
    token = stream.state["scan_token"]
    if not is_token_known:
        sandbox.forget_tokens()
    again = set(tokens(stream.sync()))
    assert sandbox.requests[0].query["continuationToken"] == token
    assert covered | again == set(tokens(sandbox.carts))
    assert covered.isdisjoint(again) == is_token_known
    assert ("No carts are lost." in "".join(stream.output.logs("WARN"))) != is_token_known
    assert set(stream.state) == {"modificationDate", "filters", "start"}
