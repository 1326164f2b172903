import json
import logging

import pytest
from airbyte_cdk.entrypoint import AirbyteEntrypoint
from airbyte_cdk.utils.traced_exception import AirbyteTracedException

from source_abandoned_carts import engine
from source_abandoned_carts.checkpoint import Checkpoint


def run(**streams):
    """Run streams that give these items; give the messages as they go out, and the end's error."""
    made = [
        engine.make_stream(name, lambda items=items: iter(items), json_schema={})
        for name, items in streams.items()
    ]
    given, error = [], None
    try:
        given.extend(engine.run(made, logging.getLogger("airbyte")))
    except AirbyteTracedException as raised:
        error = raised
    return [json.loads(AirbyteEntrypoint.airbyte_message_to_string(one)) for one in given], error


def test_states_keep_their_place_among_the_records():
    items = [[{"n": 1}], Checkpoint({"n": 1}), [{"n": 2}, {"n": 3}], [], Checkpoint({"n": 3})] * 200
    messages, error = run(a=items)
    told = [
        ("record", message["record"]["data"]["n"])
        if message["type"] == "RECORD"
        else ("state", message["state"]["stream"]["stream_state"]["n"])
        for message in messages
        if message["type"] in ("RECORD", "STATE")
    ]
    assert error is None
    assert told == [("record", 1), ("state", 1), ("record", 2), ("record", 3), ("state", 3)] * 200


def test_an_empty_record_does_not_end_the_stream():
    messages, _ = run(a=[[{}, {"n": 1}]])
    assert [m["record"]["data"] for m in messages if m["type"] == "RECORD"] == [{}, {"n": 1}]


@pytest.mark.parametrize(("seconds", "lines"), [(0, ["2", "2", "1,002"]), (10, [])])
def test_progress_is_told_now_and_then(monkeypatch, caplog, seconds, lines):
    monkeypatch.setattr(engine, "_BETWEEN_PROGRESS", seconds)
    run(a=[[{"n": 1}] * 2, [], Checkpoint({}), [{"n": 2}] * 1000])
    told = [line for line in caplog.messages if "so far" in line]
    assert told == [f"a: {number} records so far." for number in lines]


def test_no_streams_end_at_once():
    assert run() == ([], None)


def test_an_unforeseen_error_tells_its_place_and_not_its_text(caplog):
    customer = "ann" + "@shop.example"  # in two, as the lines of the code are told

    def broken():
        yield [{"n": 1}]
        raise KeyError(customer)

    messages, error = run(a=broken(), b=[[{"n": 2}]])
    (trace,) = [m["trace"]["error"] for m in messages if "error" in m.get("trace", {})]
    assert trace["failure_type"] == "system_error"
    assert trace["message"].startswith("a stopped at a defect of the connector (KeyError).")
    assert "in broken" in trace["internal_message"]
    assert customer not in json.dumps(messages) + caplog.text + str(error)
    assert [m["record"]["data"]["n"] for m in messages if m["type"] == "RECORD"].count(2) == 1
