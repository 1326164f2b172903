"""Windows of cart statistics: what is asked, what comes, what is saved."""

import itertools
import threading
import time
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from sandbox import Fault

from .conftest import catalog

STREAM = "cart_stats"
DAY = 86_400


def seconds(text: str) -> int:
    moment = datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=timezone.utc)
    return int(moment.timestamp())


def days_ago(days: int) -> str:
    return (datetime.now(timezone.utc) - timedelta(days=days)).strftime("%Y-%m-%d")


def asked(sandbox: Any) -> list[tuple[int, int]]:
    return sorted(
        (int(request.query["date_from"]), int(request.query["date_to"]))
        for request in sandbox.to("retargeting")
    )


@pytest.mark.parametrize("days", [1, 7, 29, 30])
def test_windows_tile_time_to_the_second(sandbox, connector, days):
    start = days_ago(95)
    config = {**sandbox.config, "start_date": f"{start}T17:30:00Z", "retargeting_window_days": days}
    before = int(time.time())
    output = connector.read(config, STREAM)
    after = int(time.time())
    windows = asked(sandbox)
    assert windows[0][0] == seconds(f"{start}T00:00:00Z")
    for (first, last), (following, _) in itertools.pairwise(windows):
        assert (last, following) == (first + days * DAY - 1, last + 1)
    assert before <= windows[-1][1] <= after
    assert [(seconds(r["date_from"]), seconds(r["date_to"])) for r in output.records(STREAM)] == (
        windows
    )
    assert [state["date_to"] for state in output.states(STREAM)] == [
        record["date_to"] for record in output.records(STREAM)
    ]


def test_events_on_the_edges_of_windows_count_once(sandbox, connector):
    start = seconds(f"{days_ago(65)}T00:00:00Z")
    edges = [start + n * 30 * DAY + shift for n in (0, 1, 2) for shift in (-1, 0)]
    sandbox.abandoned, sandbox.recovered = edges, edges[2:4]
    config = {**sandbox.config, "start_date": days_ago(65)}
    records = connector.read(config, STREAM).records(STREAM)
    assert [record["abandoned"] for record in records] == [2, 2, 1]
    assert [record["recovered"] for record in records] == [1, 1, 0]


def test_a_window_keeps_its_key_and_running_and_recent_ones_are_read_again(sandbox, connector):
    config = {**sandbox.config, "start_date": days_ago(200), "retargeting_lookback_days": 45}
    first = connector.read(config, STREAM)
    state = first.states(STREAM)[-1]
    assert state == {
        "date_to": first.records(STREAM)[-1]["date_to"],
        "window_days": 30,
        "start": days_ago(200),
    }
    sandbox.recovered.append(seconds(first.records(STREAM)[-2]["date_to"]))
    second = connector.read(config, STREAM, state={STREAM: state})
    since = seconds(state["date_to"]) - 45 * DAY
    again = [record for record in first.records(STREAM) if seconds(record["date_to"]) >= since]
    assert [r["date_from"] for r in second.records(STREAM)] == [r["date_from"] for r in again]
    assert len(again) == 3 or len(again) == 2
    assert second.records(STREAM)[-2]["recovered"] == again[-2]["recovered"] + 1


def test_a_lookback_of_nothing_reads_the_running_window_alone(sandbox, connector):
    config = {**sandbox.config, "start_date": days_ago(200), "retargeting_lookback_days": 0}
    first = connector.read(config, STREAM)
    second = connector.read(config, STREAM, state={STREAM: first.states(STREAM)[-1]})
    assert [r["date_from"] for r in second.records(STREAM)] == [
        first.records(STREAM)[-1]["date_from"]
    ]


@pytest.mark.parametrize(
    ("saved", "whole"),
    [({"window_days": 7}, True), ({"start": "2020-01-01"}, True), ({}, False)],
)
def test_other_windows_than_the_saved_ones_read_history_again(sandbox, connector, saved, whole):
    config = {**sandbox.config, "start_date": days_ago(200), "retargeting_lookback_days": 0}
    state = {"date_to": f"{days_ago(1)}T00:00:00Z", **saved}
    output = connector.read(config, STREAM, state={STREAM: state})
    assert len(output.records(STREAM)) == (7 if whole else 1)
    assert set(output.states(STREAM)[-1]) == {"date_to", "window_days", "start"}


def test_a_state_in_the_future_gives_nothing_and_is_kept(sandbox, connector):
    state = {"date_to": "2999-01-01T00:00:00Z", "window_days": 7, "start": "2024-01-01"}
    output = connector.read(sandbox.config, STREAM, state={STREAM: state})
    assert (output.code, output.of("RECORD"), output.states(STREAM)) == (0, [], [state])
    assert sandbox.requests == []


def test_a_start_in_the_future_reads_nothing_and_leaves_no_state(sandbox, connector):
    config = {**sandbox.config, "start_date": "2999-01-01"}
    output = connector.read(config, STREAM)
    assert (output.code, output.of("RECORD"), output.states(STREAM)) == (0, [], [{}])


def test_a_full_refresh_does_not_look_at_the_state(sandbox, connector):
    state = {"date_to": f"{days_ago(1)}T00:00:00Z", "window_days": 30, "start": "2024-01-01"}
    full = connector.read(sandbox.config, STREAM, state={STREAM: state}, mode="full_refresh")
    assert full.records(STREAM)[0]["date_from"] == "2024-01-01T00:00:00Z"


def test_a_failing_window_is_not_passed_and_the_next_sync_goes_on_from_it(sandbox, connector):
    config = {
        **sandbox.config,
        "start_date": days_ago(60),
        "retargeting_window_days": 1,
        "retargeting_lookback_days": 0,
    }
    bad = seconds(f"{days_ago(40)}T00:00:00Z")
    fault = Fault(
        "status",
        service="retargeting",
        status=400,
        body={"status": "error", "message": "Interval is greater than 30 days"},
        times=99,
        when=lambda request: int(request.query["date_from"]) == bad,
    )
    sandbox.faults = [fault]
    first = connector.read(config, STREAM)
    assert first.code == 1
    assert "Interval is greater than 30 days" in first.error(STREAM)["message"]
    assert len(first.records(STREAM)) == 20
    assert seconds(first.states(STREAM)[-1]["date_to"]) == bad - 1
    assert len(sandbox.requests) < 60
    sandbox.faults = []
    second = connector.read(config, STREAM, state={STREAM: first.states(STREAM)[-1]})
    whole = {r["date_from"] for o in (first, second) for r in o.records(STREAM)}
    assert len(whole) == 61


def test_at_most_eight_windows_are_asked_for_at_once_and_come_in_order(sandbox, connector):
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
    config = {**sandbox.config, "start_date": days_ago(60), "retargeting_window_days": 1}
    output = connector.read(config, STREAM)
    starts = [record["date_from"] for record in output.records(STREAM)]
    assert starts == sorted(starts)
    assert most[0] == 8


@pytest.mark.parametrize(
    ("data", "counts"),
    [
        ({"abandoned": "8", "recovered": 5}, (8, 5)),
        ({"abandoned": 8.0, "recovered": "5.00"}, (8, 5)),
        ({"abandoned": 0, "recovered": 0, "more": []}, (0, 0)),
        ({"abandoned": 8}, None),
        ({"abandoned": 8.5, "recovered": 5}, None),
        ({"abandoned": None, "recovered": 5}, None),
        ({"abandoned": True, "recovered": 5}, None),
        ({"abandoned": -1, "recovered": 5}, None),
        ({"abandoned": "", "recovered": 5}, None),
        ([], None),
    ],
)
def test_counts_are_whole_numbers_or_an_error(sandbox, connector, data, counts):
    config = {**sandbox.config, "start_date": days_ago(3)}
    body = {"status": "success", "data": data}
    sandbox.faults = [Fault("status", service="retargeting", status=200, body=body)]
    output = connector.read(config, STREAM)
    if counts is None:
        assert (output.code, output.of("RECORD"), output.states(STREAM)) == (1, [], [])
        assert output.error(STREAM)["failure_type"] == "system_error"
    else:
        (record,) = output.records(STREAM)
        assert (record["abandoned"], record["recovered"]) == counts


@pytest.mark.parametrize("status", [200, 400, 422])
def test_refusals_are_told_by_the_body_whatever_the_status(sandbox, connector, status):
    config = {**sandbox.config, "start_date": days_ago(3)}
    sandbox.refusal_status = status
    for change, failure_type, words in (
        ({"retargeting_key": "another"}, "config_error", "Incorrect rest key!"),
        ({"account_active": False}, "config_error", "not active"),
    ):
        kept = {name: getattr(sandbox, name) for name in change}
        for name, value in change.items():
            setattr(sandbox, name, value)
        del sandbox.requests[:]
        output = connector.read(config, STREAM)
        error = output.error(STREAM)
        assert (error["failure_type"], output.of("RECORD")) == (failure_type, [])
        assert words in error["message"]
        assert len(sandbox.requests) == 1
        for name, value in kept.items():
            setattr(sandbox, name, value)
    for body, words in (
        ({"status": "error", "message": "Interval is greater than 30 days"}, "30 days"),
        ({"status": "error", "data": "The partner is unknown"}, "The partner is unknown"),
        (
            {"status": "fail", "data": {"validator": {"date_from": ["It is required."]}}},
            "It is required.",
        ),
    ):
        sandbox.faults = [Fault("status", service="retargeting", status=status, body=body)]
        error = connector.read(config, STREAM).error(STREAM)
        assert error["failure_type"] == "system_error"
        assert words in error["message"]


@pytest.mark.parametrize("status", [200, 400])
def test_something_went_wrong_is_tried_again(sandbox, connector, status):
    config = {**sandbox.config, "start_date": days_ago(3)}
    body = {"status": "error", "message": "Something went wrong"}
    sandbox.faults = [Fault("status", service="retargeting", status=status, body=body, times=2)]
    output = connector.read(config, STREAM, fast=True)
    assert (output.code, len(output.records(STREAM)), len(output.waits)) == (0, 1, 2)


def test_without_state_an_incremental_sync_takes_a_state_file_without_the_stream(
    sandbox, connector
):
    output = connector.run(
        "read",
        config={**sandbox.config, "start_date": days_ago(3)},
        catalog=catalog(STREAM),
        state=[],
    )
    assert len(output.records(STREAM)) == 1
