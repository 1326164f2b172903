import json
import logging
import time
from itertools import pairwise

import pytest
from airbyte_cdk.entrypoint import AirbyteEntrypoint
from airbyte_cdk.models import FailureType
from airbyte_cdk.utils.traced_exception import AirbyteTracedException

from source_abandoned_carts import engine
from source_abandoned_carts.errors import ApiError


class Stream:
    """A stream of some items. An item that is a text becomes the stream's progress."""

    def __init__(self, name, items):
        self.name = name
        self.progress = "just started"
        self._items = items

    def read(self, saved):
        for item in self._items:
            if isinstance(item, str):
                self.progress = item
            else:
                yield item


def messages_of(**streams):
    reads = [(Stream(name, items), {}) for name, items in streams.items()]
    return engine.run(reads, logging.getLogger("airbyte"))


def run(**streams):
    """Run streams of these items. Return the messages as they are written, and the error."""
    lines, error = [], None
    try:
        for message in messages_of(**streams):
            if isinstance(message, engine.RecordLines):
                lines += message.lines.splitlines()
            else:
                lines.append(AirbyteEntrypoint.airbyte_message_to_string(message))
    except AirbyteTracedException as raised:
        error = raised
    return [json.loads(line) for line in lines], error


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
        (
            KeyError("ann@shop.example"),
            "system_error",
            "a stopped because of a defect in the connector (KeyError)",
        ),
        (
            TypeError("ann@shop.example"),
            "system_error",
            "a stopped because of a defect in the connector (TypeError)",
        ),
    ],
)
@pytest.mark.parametrize("within_page", [False, True])
def test_failing_stream_leaves_the_others_complete(
    caplog, error, failure_type, message, within_page
):
    def failing_page():
        yield {"n": 1}
        raise error

    def failing():
        yield [{"n": 1}]
        yield {"n": 1}
        if within_page:
            yield failing_page()
        raise error

    messages, raised = run(a=failing(), b=[[{"n": 2}]] * 100)
    (trace,) = [m["trace"]["error"] for m in messages if "error" in m.get("trace", {})]
    assert (trace["failure_type"], trace["stream_descriptor"]["name"]) == (failure_type, "a")
    assert trace["message"].startswith(message)
    assert "ann@" not in caplog.text + str(raised) + trace["message"] + trace["internal_message"]
    assert records(messages).count({"n": 2}) == 100
    assert [m["type"] for m in messages].count("STATE") == 1


def test_states_count_the_records_since_the_last_state():
    messages, _ = run(a=[[{}, {}], {"n": 1}, {"n": 2}, [{}], {"n": 3}])
    states = [message["state"] for message in messages if message["type"] == "STATE"]
    assert [state["sourceStats"]["recordCount"] for state in states] == [2.0, 0.0, 1.0]


def test_statuses_surround_the_records():
    messages, _ = run(a=[[], [{}], [{}]], b=[{}])
    traces = [message["trace"]["stream_status"] for message in messages if "trace" in message]
    statuses = {"a": [], "b": []}
    for trace in traces:
        statuses[trace["stream_descriptor"]["name"]].append(trace["status"])
    assert statuses == {"a": ["STARTED", "RUNNING", "COMPLETE"], "b": ["STARTED", "COMPLETE"]}


def test_keeps_nulls_of_a_record():
    assert records(run(a=[[{"a": None, "b": {"c": None}}]])[0]) == [{"a": None, "b": {"c": None}}]


def test_embedding_programs_get_the_same_records_as_objects():
    page = [{"é": None}, {"n": [1.5, "\u2028\n"]}]
    (lines,) = [m for m in messages_of(a=[page]) if isinstance(m, engine.RecordLines)]
    messages = list(lines.messages())
    assert [message.record.data for message in messages] == page
    assert {message.record.stream for message in messages} == {"a"}


def test_record_that_cannot_be_written_fails_only_its_stream():
    deep = []
    for _ in range(300):
        deep = [deep]
    messages, error = run(a=[[{"metadata": deep}]], b=[[{"n": 2}]])
    assert "a stopped because a record has more than 250 levels" in str(error)
    assert records(messages) == [{"n": 2}]


def test_reads_at_most_one_page_ahead_of_a_slow_destination():
    """One page is written, one waits in the queue, and the stream holds the next one."""
    pages_read = 0

    def pages():
        nonlocal pages_read
        for number in range(100):
            pages_read += 1
            yield [{"n": number}]

    written = 0
    for message in messages_of(a=pages()):
        if isinstance(message, engine.RecordLines):
            written += 1
            time.sleep(0.02)  # a slow destination
            assert pages_read <= written + 2
    assert written == 100


def test_reads_a_page_to_its_end_before_the_next_item():
    read = []

    def page(number):
        for n in range(3):
            yield {"n": n}
        read.append(number)

    def items():
        for number in range(100):
            yield page(number)
            yield {"pages": len(read)}  # a state that the page before determines

    messages, _ = run(a=items())
    states = [message["state"]["stream"] for message in messages if message["type"] == "STATE"]
    assert [state["stream_state"]["pages"] for state in states] == [*range(1, 101)]


def test_logs_the_progress_each_minute(monkeypatch, caplog):
    caplog.set_level(logging.INFO)
    monkeypatch.setattr(engine, "_SECONDS_BETWEEN_REPORTS", 0.05)

    expected = [f"a: page {n} read, {n - 1} records emitted." for n in (1, 2, 3)]

    def scanning():
        for number, report in enumerate(expected, start=1):
            yield f"page {number} read"
            deadline = time.monotonic() + 10
            while report not in caplog.messages and time.monotonic() < deadline:
                yield []  # pages without a record to emit do not put the report off
                time.sleep(0.01)
            yield [{"n": number}]

    run(a=scanning())
    reports = [record for record in caplog.records if record.message.endswith("emitted.")]
    assert {record.message for record in reports} >= set(expected)
    times = [record.created for record in reports]
    assert all(after - before > 0.04 for before, after in pairwise(times))
