"""Find out how often a service accepts requests, if it limits their rate (HTTP 429).

Neither service documents its limit, so the spacing of requests is adapted, as TCP adapts to a
network: each pause makes it larger by half, and each answered request makes it a little smaller.
`test_reads_to_the_end_in_about_the_time_of_the_limit` simulates the limits that this was tuned for.
"""

import threading
import time

_FIRST_SPACING = 0.2  # seconds between two requests, after the first pause
_LONGEST_SPACING = 1.2  # enough for one request per second
_GROWTH, _DECAY = 1.5, 0.98  # a pause costs a second or more, so provoke the next one slowly


def now() -> float:
    """Return seconds on a monotonic clock. A test that shortens waits replaces this function."""
    return time.monotonic()


class Throttle:
    """Says when requests to one service may be sent. All threads and streams share it.

    Times are those of `now`. Nothing is limited until the service responds with HTTP 429.
    `answered` counts the requests that the service processed.
    """

    def __init__(self) -> None:
        self.answered = 0
        self._lock = threading.Lock()
        self._next = 0.0  # when the next request may be sent
        self._spacing = 0.0
        self._paused_at = 0.0

    def delay(self, at: float) -> float:
        """Return the seconds until a request may be sent; 0 means that it must be sent now."""
        with self._lock:
            if at < self._next:
                return self._next - at
            self._next = at + self._spacing
            return 0

    def succeed(self) -> None:
        """Note that the service has processed a request."""
        with self._lock:
            self.answered += 1
            self._spacing *= _DECAY

    def pause(self, sent_at: float, at: float, seconds: float) -> None:
        """Stop all requests for some seconds, because the one sent at `sent_at` got HTTP 429."""
        with self._lock:
            self._next = max(self._next, at + seconds)
            if sent_at >= self._paused_at:  # not one of those sent before the last pause
                self._paused_at = at
                self._spacing = min(max(_FIRST_SPACING, self._spacing * _GROWTH), _LONGEST_SPACING)
