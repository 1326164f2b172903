import json
import logging
import time

import pytest
from airbyte_cdk.entrypoint import AirbyteEntrypoint
from airbyte_cdk.models import FailureType
from airbyte_cdk.sources.connector_state_manager import ConnectorStateManager
from airbyte_cdk.utils.traced_exception import AirbyteTracedException

from source_abandoned_carts import engine
from source_abandoned_carts.responses import ApiError


def run(**streams):
    """Run streams of these items. Return the printed messages, and the error."""
    items = {name: iter(items) for name, items in streams.items()}
    messages, error = [], None
    try:
        messages.extend(engine.run(items, ConnectorStateManager(), logging.getLogger("airbyte")))
    except AirbyteTracedException as raised:
        error = raised
    return [json.loads(AirbyteEntrypoint.airbyte_message_to_string(m)) for m in messages], error


def records(messages):
    return [message["record"]["data"] for message in messages if message["type"] == "RECORD"]


def test_states_keep_their_place_among_the_records():
    messages, error = run(a=[[{"n": 1}], {"n": 1}, [{"n": 2}, {"n": 3}], [], {"n": 3}] * 200)
    assert error is None
    found = []
    for message in messages:
        if message["type"] == "RECORD":
            found.append(message["record"]["data"]["n"])
        elif message["type"] == "STATE":
            found.append(message["state"]["stream"]["stream_state"])
    assert found == [1, {"n": 1}, 2, 3, {"n": 3}] * 200


def test_empty_record_does_not_end_the_stream():
    assert records(run(a=[[{}, {"n": 1}]])[0]) == [{}, {"n": 1}]


@pytest.mark.parametrize(
    ("error", "failure_type", "message"),
    [
        (ApiError("No.", FailureType.config_error), "config_error", "No."),
        (KeyError("ann@shop.example"), "system_error", "a stopped because of a defect in the conn"),
    ],
)
def test_failing_stream_leaves_the_others_complete(caplog, error, failure_type, message):
    def failing():
        yield [{"n": 1}]
        yield {"n": 1}
        raise error

    messages, raised = run(a=failing(), b=[[{"n": 2}]] * 100)
    (trace,) = [m["trace"]["error"] for m in messages if "error" in m.get("trace", {})]
    assert (trace["failure_type"], trace["stream_descriptor"]["name"]) == (failure_type, "a")
    assert trace["message"].startswith(message)
    assert "ann@" not in caplog.text + str(raised) + trace["message"] + trace["internal_message"]
    assert records(messages).count({"n": 2}) == 100
    assert [m["type"] for m in messages].count("STATE") == 1


def test_logs_each_minute_of_a_long_wait(monkeypatch):
    """The CDK may end a read after ten minutes without a message; Retry-After can be as long."""
    monkeypatch.setattr(engine, "_SILENCE", 0.05)

    def waiting():
        yield [{"n": 1}]
        time.sleep(0.5)
        yield [{"n": 2}]

    messages, error = run(a=waiting())
    logs = [m for m in messages if "waits for a response" in m.get("log", {}).get("message", "")]
    assert error is None
    assert 2 <= len(logs) <= 20
    assert records(messages) == [{"n": 1}, {"n": 2}]
