"""The client against simulated rate limits, with its real threads and a simulated clock."""

import heapq
import threading
import time
from itertools import count, pairwise

import pytest
from airbyte_cdk.models import FailureType

from source_abandoned_carts import throttle
from source_abandoned_carts.errors import ApiError
from source_abandoned_carts.http import RetryPolicy

from .helpers import ExampleClient

THREADS = 8  # as many as cart_stats has


class Time:
    """A clock that moves on when all threads sleep."""

    def __init__(self):
        self.now = 0.0
        self._awake = THREADS
        self._wake_times = []
        self._changed = threading.Condition()

    def sleep(self, seconds):
        with self._changed:
            until = self.now + seconds
            heapq.heappush(self._wake_times, until)
            self.end_thread()
            self._changed.wait_for(lambda: self.now >= until)

    def end_thread(self):
        with self._changed:
            self._awake -= 1
            if not self._awake and self._wake_times:
                self.now = self._wake_times[0]
                while self._wake_times and self._wake_times[0] <= self.now:
                    heapq.heappop(self._wake_times)
                    self._awake += 1
                self._changed.notify_all()


class RateLimitedClient(ExampleClient):
    """A service that accepts `most` requests within `seconds`, and responds after 50 ms.

    It accepts none until `opens`. `times` lists when requests arrived.
    """

    def __init__(self, clock, most, seconds=1.0, retry_after=None, opens=0.0):
        super().__init__("s3cret", RetryPolicy())
        self.clock, self.most, self.seconds = clock, most, seconds
        self.retry_after, self.opens = retry_after, opens
        self.accepted = []
        self.times = []

    def _send(self, path, params, attempt):
        now = self.clock.now
        self.times.append(now)
        recent = sum(now - at < self.seconds for at in self.accepted)
        is_accepted = now >= self.opens and recent < self.most
        if is_accepted:
            self.accepted.append(now)
        self.clock.sleep(0.05)
        if not is_accepted:
            raise ApiError("Too many.", FailureType.transient_error, 429, self.retry_after)
        return None, None


def read_all(client, requests):
    """Send requests in threads. Return the errors."""
    numbers, errors = count(1), []

    def send():
        try:
            client.get("/x", {})
        except ApiError as error:
            errors.append(error)

    def work():
        while next(numbers) <= requests:
            send()
        client.clock.end_thread()

    threads = [threading.Thread(target=work) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    return errors


@pytest.fixture
def clock(monkeypatch):
    simulated = Time()
    monkeypatch.setattr(time, "sleep", simulated.sleep)
    monkeypatch.setattr(throttle, "now", lambda: simulated.now)
    return simulated


@pytest.mark.parametrize(
    ("most", "seconds", "retry_after", "requests", "expected"),
    [
        (1, 1, None, 60, 60),
        (1, 1, 1, 60, 60),
        (2, 1, 0, 60, 30),
        (2, 1, 1, 60, 30),
        (4, 1, None, 100, 25),
        (20, 20, None, 100, 100),
        (20, 20, 20, 100, 100),
    ],
)
def test_reads_to_the_end_in_about_the_time_of_the_limit(
    clock, most, seconds, retry_after, requests, expected
):
    client = RateLimitedClient(clock, most, seconds, retry_after)
    assert read_all(client, requests) == []
    assert len(client.accepted) == requests
    assert clock.now < 1.75 * expected


def test_waits_together_and_comes_back_spread_and_soon_as_fast_as_before(clock):
    client = RateLimitedClient(clock, most=1_000, retry_after=60, opens=60)
    assert read_all(client, 400) == []
    refused, later = client.times[:THREADS], client.times[THREADS:]
    assert refused == [0] * THREADS
    assert later[0] >= 60
    assert min(after - before for before, after in pairwise(later[:THREADS])) > 0.05
    assert clock.now < 60 + 15  # 400 requests at once would take 2.5 seconds


def test_gives_up_after_six_attempts_if_nothing_is_accepted(clock):
    client = RateLimitedClient(clock, most=0)
    errors = read_all(client, THREADS)
    assert len(errors) == THREADS
    assert len(client.times) == 6 * THREADS


def test_success_of_other_requests_keeps_attempts_from_counting(requests_mock, waits, monkeypatch):
    client = ExampleClient("s3cret", RetryPolicy())
    requests_mock.get(f"{ExampleClient.default_url}/x", [{"status_code": 429}] * 20 + [{"json": 1}])

    def sleep_while_another_request_succeeds(seconds):
        waits.append(seconds)
        client._throttle.succeed()

    monkeypatch.setattr(time, "sleep", sleep_while_another_request_succeeds)
    assert client.get("/x", {})[0] == 1
    assert max(waits) <= 1.25
