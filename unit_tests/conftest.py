import time

import pytest

from source_abandoned_carts import throttle


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The seconds of each sleep, which takes no time."""
    slept: list[float] = []
    monkeypatch.setattr(time, "sleep", slept.append)
    monkeypatch.setattr(throttle, "now", lambda: sum(slept))
    return slept
