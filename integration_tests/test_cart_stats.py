"""Windows of cart statistics: the requests, records and states of several syncs."""

import signal
import threading
import time
from datetime import datetime, timedelta, timezone

import pytest

from tools.processes import catalog
from tools.sandbox import Fault

from .harness import STATS, SyncedStream, instant, state_file

DAY = 86_400


def seconds(text):
    return int(instant(text).timestamp())


def days_ago(days):
    return (datetime.now(timezone.utc) - timedelta(days=days)).strftime("%Y-%m-%d")


@pytest.fixture
def make_stream(sandbox, connector):
    def make(days, window_days=30, lookback=0, time="00:00:00"):
        return SyncedStream(
            sandbox,
            connector,
            STATS,
            start_date=f"{days_ago(days)}T{time}Z",
            retargeting_window_days=window_days,
            retargeting_lookback_days=lookback,
        )

    return make


@pytest.mark.parametrize("hours", [-3, 3])
def test_windows_count_every_second_once_up_to_the_service_time(make_stream, hours):
    stream = make_stream(95, 7, time="17:00:00")
    start = seconds(f"{stream.config['start_date'][:10]}T00:00:00Z")
    edges = [start + 7 * DAY * n + shift for n in (0, 1, 2) for shift in (-1, 0)]
    stream.sandbox.abandoned, stream.sandbox.recovered = edges, edges[2:4]
    stream.sandbox.clock_offset = hours * 3_600
    began = int(stream.sandbox.now().timestamp())
    records = stream.sync()
    ended = int(stream.sandbox.now().timestamp()) + 1
    windows = [(seconds(record["date_from"]), seconds(record["date_to"])) for record in records]
    assert windows == sorted(
        (int(request.query["date_from"]), int(request.query["date_to"]))
        for request in stream.sandbox.requests
    )
    assert windows[0][0] == start
    assert began <= windows[-1][1] <= ended
    assert [record["abandoned"] for record in records[:4]] == [2, 2, 1, 0]
    assert [record["recovered"] for record in records[:4]] == [1, 1, 0, 0]
    assert len(stream.output.states(STATS)) == 2  # after the eighth window, and at the end
    day, date_to = stream.config["start_date"][:10], records[-1]["date_to"]
    assert stream.state == {"date_to": date_to, "window_days": 7, "start": day}


def test_rereads_the_running_window_and_the_lookback(make_stream):
    stream = make_stream(190, lookback=45)
    before = stream.sync()[-3:]
    stream.sandbox.recovered.append(seconds(before[1]["date_to"]))
    again = stream.sync()
    assert [r["date_from"] for r in again] == [r["date_from"] for r in before]
    assert again[1]["recovered"] == before[1]["recovered"] + 1


def test_next_sync_resumes_at_the_failing_window(make_stream):
    stream = make_stream(60, 1, lookback=30)
    first = seconds(f"{days_ago(40)}T00:00:00Z")
    body = {"status": "error", "message": "Interval is greater than 30 days"}
    condition = {"when": lambda request: int(request.query["date_from"]) == first}
    stream.sandbox.faults = [Fault("status", "retargeting", 99, 400, body=body, **condition)]
    assert len(stream.sync(code=1)) == 20
    assert "Interval is greater than 30 days" in stream.output.error(STATS)["message"]
    assert seconds(stream.state["reached"]) == first - 4 * DAY - 1
    stream.sandbox.faults = []
    assert len(stream.sync()) == 61 - 16
    assert "reached" not in stream.state


def test_interrupted_syncs_reach_the_end(make_stream):
    stream = make_stream(60, 1, lookback=60)
    dates = [""]
    for _ in range(3):
        stream.sync_and_kill(records=9, requests=24)
        assert "reached" in stream.state
        dates.append(stream.state["date_to"])
    assert dates == sorted(dates)
    assert len(stream.sync()) <= 61 - 3 * 8
    assert len(stream.table) == 61


def test_requests_eight_windows_at_once_and_emits_them_in_order(make_stream):
    stream = make_stream(60, 1)
    lock, are_eight, open_requests, counts = threading.Lock(), threading.Event(), set(), []
    respond = stream.sandbox.respond

    def wait_for_eight(request):
        """Respond when eight requests wait, to the last one first. The first request is alone."""
        with lock:
            open_requests.add(request.at)
            counts.append(len(open_requests))
            position = len(open_requests)
        if position >= 8:
            are_eight.set()
        if len(counts) > 1:
            are_eight.wait(30)
            time.sleep(0.05 * max(0, 8 - position))
        with lock:
            open_requests.remove(request.at)
        return respond(request)

    stream.sandbox.respond = wait_for_eight
    starts = [record["date_from"] for record in stream.sync()]
    assert starts == sorted(starts)
    assert max(counts) == 8


def test_slow_destination_stops_the_requests(make_stream):
    stream = make_stream(8_000, 1)
    process = stream.connector.start(
        "read", config=stream.config, catalog=catalog(STATS), state=state_file({})
    )
    process.stdout.readline()
    requests = -1
    while requests < len(stream.sandbox.requests):  # until the pipe is full
        requests = len(stream.sandbox.requests)
        time.sleep(1)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert 0 < requests < 2_000
    process.stdout.close()


def test_windows_that_change_back_after_a_kill_are_read_again(make_stream):
    stream = make_stream(60, 7)
    first, *_ = stream.sync()
    date_to = stream.state["date_to"]
    stream.config["retargeting_window_days"] = 1
    stream.sync_and_kill(records=3, requests=6)
    assert stream.table[first["date_from"]] != first
    assert (stream.state["window_days"], stream.state["date_to"]) == (1, date_to)
    stream.config["retargeting_window_days"] = 7
    assert len(stream.sync()) == 9
    assert stream.table[first["date_from"]] == first
