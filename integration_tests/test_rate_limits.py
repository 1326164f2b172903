"""Services that limit the rate of requests. The waits are real."""

import time
from datetime import datetime, timedelta, timezone
from itertools import pairwise

import pytest

from tools.sandbox import Fault, make_carts

from .harness import CARTS, STATS


@pytest.fixture
def daily(sandbox):
    """Settings for 30 windows of one day."""
    start = datetime.now(timezone.utc) - timedelta(days=29)
    return {**sandbox.config, "start_date": f"{start:%Y-%m-%d}", "retargeting_window_days": 1}


@pytest.mark.parametrize(
    ("limit", "headers", "seconds"),
    [
        pytest.param((2, 1), {"Retry-After": "1"}, 15, marks=pytest.mark.slow),
        ((4, 1), {"Retry-After": "0"}, 7.5),
    ],
)
def test_reads_to_the_end_in_about_the_time_of_the_limit(
    sandbox, executable, daily, limit, headers, seconds
):
    sandbox.rate_limit, sandbox.rate_limit_headers = limit, headers
    output = executable.read(daily, STATS)
    assert (output.code, len(output.records(STATS))) == (0, 30)
    assert sandbox.requests[-1].at - sandbox.requests[0].at < 2 * seconds


def test_all_requests_wait_and_come_back_spread(sandbox, executable, daily):
    """The first request is alone. One of the next eight is refused."""
    limit = Fault("status", "retargeting", 1, 429, {"Retry-After": "3"})
    limit.when = lambda request: len(sandbox.requests) > 1
    sandbox.faults = [limit]
    assert executable.read(daily, STATS).code == 0
    times = [request.at for request in sandbox.requests]
    gaps = [after - before for before, after in pairwise(times)]
    pause = gaps.index(max(gaps))
    assert 2.9 < gaps[pause] < 5
    assert min(gaps[pause + 1 : pause + 5]) > 0.1


def test_streams_of_one_service_wait_together(sandbox, executable):
    """Snipcart refuses one request. Neither of its two streams sends another during the wait."""
    sandbox.carts = make_carts(1_000)
    limit = Fault("status", "snipcart", 1, 429, {"Retry-After": "3"})
    limit.when = lambda request: len(sandbox.requests) > 4
    sandbox.faults = [limit]
    config = {**sandbox.config, "snipcart_departed_carts": True, "snipcart_page_size": 50}
    assert executable.read(config, CARTS, "departed_carts").code == 0
    times = [request.at for request in sandbox.requests]
    assert len(times) == 41
    assert len([1 for before, after in pairwise(times) if after - before > 2.9]) == 1


def test_check_ignores_a_long_retry_after(sandbox, executable):
    sandbox.rate_limit, sandbox.rate_limit_headers = (0, 1), {"Retry-After": "600"}
    started = time.monotonic()
    status = executable.run("check", config=sandbox.config).status
    assert time.monotonic() - started < 30
    assert "Snipcart limits the rate of requests" in status["message"]
    assert len(sandbox.requests) == 4
