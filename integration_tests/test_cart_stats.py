"""Windows of cart statistics: what is requested, what is emitted, what is saved."""

import itertools
import threading
import time
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from sandbox import Fault

from .conftest import read_and_kill

STREAM = "cart_stats"
DAY = 86_400


def seconds(text: str) -> int:
    moment = datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=timezone.utc)
    return int(moment.timestamp())


def days_ago(days: int) -> str:
    return (datetime.now(timezone.utc) - timedelta(days=days)).strftime("%Y-%m-%d")


def settings(sandbox: Any, days: int, window_days: int = 30, lookback: int = 0) -> dict[str, Any]:
    return {
        **sandbox.config,
        "start_date": days_ago(days),
        "retargeting_window_days": window_days,
        "retargeting_lookback_days": lookback,
    }


@pytest.mark.parametrize("days", [1, 7, 30])
def test_windows_cover_every_second_once(sandbox, connector, days):
    config = settings(sandbox, 95, days)
    start = f"{config['start_date']}T00:00:00Z"
    config["start_date"] = start.replace("T00", "T17")
    output = connector.read(config, STREAM)
    windows = sorted(
        (int(request.query["date_from"]), int(request.query["date_to"]))
        for request in sandbox.to("retargeting")
    )
    assert windows[0][0] == seconds(start)
    for (first, last), (following, _) in itertools.pairwise(windows):
        assert (last, following) == (first + days * DAY - 1, last + 1)
    assert abs(windows[-1][1] - time.time()) < 30
    records = output.records(STREAM)
    assert [(seconds(r["date_from"]), seconds(r["date_to"])) for r in records] == windows
    states = output.states(STREAM)
    assert len(states) == -(-len(windows) // 8)
    assert states[-1] == {
        "date_to": records[-1]["date_to"],
        "window_days": days,
        "start": start[:10],
    }


def test_counts_events_on_the_edges_of_windows_once(sandbox, connector):
    start = seconds(f"{days_ago(65)}T00:00:00Z")
    edges = [start + n * 30 * DAY + shift for n in (0, 1, 2) for shift in (-1, 0)]
    sandbox.abandoned, sandbox.recovered = edges, edges[2:4]
    records = connector.read(settings(sandbox, 65), STREAM).records(STREAM)
    assert [record["abandoned"] for record in records] == [2, 2, 1]
    assert [record["recovered"] for record in records] == [1, 1, 0]


@pytest.mark.parametrize(("lookback", "windows"), [(0, 1), (45, 3)])
def test_reads_the_running_window_and_the_lookback_again(sandbox, connector, lookback, windows):
    config = settings(sandbox, 190, 30, lookback)
    first = connector.read(config, STREAM)
    sandbox.recovered.append(seconds(first.records(STREAM)[-2]["date_to"]))
    second = connector.read(config, STREAM, state={STREAM: first.states(STREAM)[-1]})
    again, before = second.records(STREAM), first.records(STREAM)[-windows:]
    assert [r["date_from"] for r in again] == [r["date_from"] for r in before]
    if windows > 1:
        assert again[-2]["recovered"] == before[-2]["recovered"] + 1


@pytest.mark.parametrize(
    ("saved", "is_read_again"),
    [({"window_days": 7}, True), ({"start": "2020-01-01"}, True), ({}, False)],
)
def test_other_windows_than_the_saved_ones_read_history_again(
    sandbox, connector, saved, is_read_again
):
    state = {"date_to": f"{days_ago(1)}T00:00:00Z", **saved}
    output = connector.read(settings(sandbox, 200), STREAM, state={STREAM: state})
    assert len(output.records(STREAM)) == (7 if is_read_again else 1)


def test_state_in_the_future_is_kept(sandbox, connector):
    state = {"date_to": "2999-01-01T00:00:00Z", "window_days": 7, "start": "2024-01-01"}
    output = connector.read(sandbox.config, STREAM, state={STREAM: state})
    assert (output.code, output.of("RECORD"), output.states(STREAM)) == (0, [], [state])
    full = connector.read(sandbox.config, STREAM, state={STREAM: state}, mode="full_refresh")
    assert full.records(STREAM)[0]["date_from"] == "2024-01-01T00:00:00Z"
    config = {**sandbox.config, "start_date": "2999-01-01"}
    assert connector.read(config, STREAM).states(STREAM) == [{}]


@pytest.mark.parametrize("hours", [-3, 3])
@pytest.mark.parametrize("days", [0, 40])
def test_running_window_ends_at_the_services_clock(sandbox, connector, hours, days):
    sandbox.clock_offset = hours * 3_600
    config = settings(sandbox, days + 1)
    for state in (None, {}):
        output = connector.read(config, STREAM, state=state)
        end = seconds(output.records(STREAM)[-1]["date_to"])
        assert abs(end - sandbox.now().timestamp()) < 30
    second = connector.read(config, STREAM, state={STREAM: output.states(STREAM)[-1]})
    assert len(second.records(STREAM)) == 1


def test_failing_window_ends_the_stream_and_the_next_sync_resumes_there(sandbox, connector):
    config = settings(sandbox, 60, 1, lookback=30)
    bad = seconds(f"{days_ago(40)}T00:00:00Z")
    body = {"status": "error", "message": "Interval is greater than 30 days"}
    sandbox.faults = [
        Fault(
            "status", "retargeting", 99, 400, body=body,
            when=lambda request: int(request.query["date_from"]) == bad,
        )
    ]  # fmt: skip
    first = connector.read(config, STREAM)
    assert first.code == 1
    assert "Interval is greater than 30 days" in first.error(STREAM)["message"]
    assert len(first.records(STREAM)) == 20
    state = first.states(STREAM)[-1]
    assert seconds(state["reached"]) == bad - 4 * DAY - 1
    sandbox.faults = []
    second = connector.read(config, STREAM, state={STREAM: state})
    assert len(second.records(STREAM)) == 61 - 16
    assert "reached" not in second.states(STREAM)[-1]


def test_interrupted_syncs_reach_the_end(sandbox, connector):
    config = settings(sandbox, 120, 1, lookback=60)
    state, seen = None, set()
    for _ in range(3):
        messages = read_and_kill(
            connector, sandbox, config, STREAM, state=state, records=9, requests=24
        )
        states = [m["state"]["stream"]["stream_state"] for m in messages if m["type"] == "STATE"]
        assert [s["date_to"] for s in states] == sorted(s["date_to"] for s in states)
        seen |= {m["record"]["data"]["date_from"] for m in messages if m["type"] == "RECORD"}
        state = states[-1]
        assert "reached" in state
    output = connector.read(config, STREAM, state={STREAM: state})
    assert len(output.records(STREAM)) <= 121 - 3 * 8
    seen |= {record["date_from"] for record in output.records(STREAM)}
    assert len(seen) == 121


def test_requests_eight_windows_at_once_and_emits_them_in_order(sandbox, connector):
    lock, under_way, most = threading.Lock(), [0], [0]
    answer = sandbox.answer

    def slow(request: Any) -> Any:
        with lock:
            under_way[0] += 1
            most[0] = max(most[0], under_way[0])
        # Later windows are answered sooner.
        time.sleep(0.3 - 0.3 * (int(request.query["date_from"]) % (8 * DAY)) / (8 * DAY))
        with lock:
            under_way[0] -= 1
        return answer(request)

    sandbox.answer = slow
    output = connector.read(settings(sandbox, 60, 1), STREAM)
    starts = [record["date_from"] for record in output.records(STREAM)]
    assert starts == sorted(starts)
    assert most[0] == 8


@pytest.mark.parametrize("status", [200, 400])
def test_judges_errors_by_the_body_whatever_the_status(sandbox, connector, status):
    config = settings(sandbox, 3)
    for body, failure_type, attempts in (
        ({"status": "error", "message": "Incorrect rest key!"}, "config_error", 1),
        ({"status": "error", "message": "Your account is not active!"}, "config_error", 1),
        ({"status": "error", "data": "The partner is unknown"}, "system_error", 1),
        ({"status": "error", "message": "Something went wrong"}, "transient_error", 6),
    ):
        del sandbox.requests[:]
        sandbox.faults = [Fault("status", "retargeting", 99, status, body=body)]
        output = connector.read(config, STREAM, fast=True)
        assert output.of("RECORD") == []
        assert output.error(STREAM)["failure_type"] == failure_type
        assert (body.get("message") or body["data"]) in output.error(STREAM)["message"]
        assert len(sandbox.requests) == attempts
