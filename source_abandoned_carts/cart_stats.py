"""The stream cart_stats: Retargeting's counts of abandoned and recovered carts per window."""

import logging
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import Any

from .config import Config
from .engine import Items
from .retargeting import Counts, Retargeting
from .timestamps import from_epoch, to_epoch, to_rfc3339
from .windows import DAY, Window, windows

logger = logging.getLogger("airbyte.cart_stats")

_WINDOWS_AT_ONCE = 8  # requests in parallel
# Windows that are requested before they are emitted. With the one that is being written, the one in
# the engine's queue and the one that waits for a place there, at most 16 are ahead of a slow
# destination.
_WINDOWS_AHEAD = 13
_WINDOWS_BETWEEN_STATES = 8


class CartStats:
    """Reads the counts of all windows since 00:00 UTC of the start date."""

    name = "cart_stats"
    primary_key = "date_from"
    cursor_field = "date_to"
    sync_modes = ("full_refresh", "incremental")

    def __init__(self, api: Retargeting, config: Config) -> None:
        self.api = api
        self.progress = "0 windows read"
        day = config.start[: len("2024-01-31")]
        self._start = to_epoch(f"{day}T00:00:00Z")
        self._window_days = config.window_days
        self._window_settings = {"window_days": config.window_days, "start": day}
        self._lookback = config.lookback_days * DAY

    def read(self, saved: Mapping[str, Any] | None) -> Items:
        """Yield a record per window up to now, and states that cover all records before them.

        Without a saved state, all windows are read. Raises ApiError at the first window that fails,
        and yields no later window.
        """
        saved = saved or {}
        finished, since = self._parse(saved)
        now = int(time.time())
        # Send one request in any case: the response carries the service's time.
        first = next(windows(self._start, self._window_days, now, since), Window(now - DAY, now))
        first_counts = self.api.counts(first)
        # By the service's clock, because its counts are dated by it. If both agree, `now` stays, so
        # that the first window needs no second request.
        if not first_counts.clock.sent_at <= now <= first_counts.clock.received_at:
            now = first_counts.clock.received_at - 1
        pending = list(windows(self._start, self._window_days, now, since))
        if finished is not None and to_epoch(finished) > now:
            logger.warning(
                f"The saved state of {self.name} is in the future ({finished}). This sync emits "
                "no windows and keeps the state. To read all windows, clear the stream's data."
            )
            pending = []
        if not pending:
            yield dict(saved)
        elif finished is not None and self._has_other_windows(saved):
            # Otherwise, an interrupted sync would leave new rows under a state of the old windows.
            yield self._state(finished, reached=from_epoch(max(0, self._start - 1)))
        known = {first: first_counts}
        results = _in_order(lambda window: known.get(window) or self.api.counts(window), pending)
        for number, (window, counts) in enumerate(results, start=1):
            if number == len(pending) and not first_counts.clock.is_service:
                window, counts = self._until_service_time(window, counts)  # noqa: PLW2901
            date_to = from_epoch(window.last)
            record = {"date_from": from_epoch(window.first), "date_to": date_to}
            self.progress = f"{number:,} of {len(pending):,} windows read"
            yield [{**record, "abandoned": counts.abandoned, "recovered": counts.recovered}]
            if number == len(pending):
                yield self._state(date_to)
            elif number % _WINDOWS_BETWEEN_STATES == 0:
                yield self._state(finished or date_to, reached=date_to)

    def _until_service_time(self, window: Window, counts: Counts) -> tuple[Window, Counts]:
        """Read the last window again if its response is the first with the service's time."""
        clock = counts.clock
        now = clock.received_at - 1
        if not clock.is_service or clock.sent_at <= window.last <= now + 1 or now < window.first:
            return window, counts
        running = next(windows(self._start, self._window_days, now, window.first))
        return running, self.api.counts(running)

    def _parse(self, saved: Mapping[str, Any]) -> tuple[str | None, int]:
        """Return the saved date_to (RFC 3339 in UTC) and the Unix second to start at."""
        if not saved:
            return None, self._start
        date_to, reached = (to_rfc3339(saved.get(key)) for key in (self.cursor_field, "reached"))
        if date_to is None or self._has_other_windows(saved):
            logger.warning(
                f"The saved state of {self.name} does not match the settings. This sync reads all "
                "windows. To remove the rows of the old windows, clear the stream's data."
            )
            return date_to, self._start
        since = to_epoch(reached) + 1 if reached else to_epoch(date_to) - self._lookback
        return date_to, since

    def _has_other_windows(self, saved: Mapping[str, Any]) -> bool:
        return any(saved.get(key, value) != value for key, value in self._window_settings.items())

    def _state(self, date_to: str, **reached: str) -> dict[str, Any]:
        return {self.cursor_field: date_to, **self._window_settings, **reached}


def _in_order(
    request: Callable[[Window], Counts], pending: Iterable[Window]
) -> Iterator[tuple[Window, Counts]]:
    """Yield each window with its counts, which are requested in parallel."""
    # `with` would wait for running requests after a failure.
    pool = ThreadPoolExecutor(_WINDOWS_AT_ONCE, thread_name_prefix=CartStats.name)
    not_requested = iter(pending)
    ahead: deque[tuple[Window, Future[Counts]]] = deque()
    try:
        while True:
            for window in islice(not_requested, _WINDOWS_AHEAD - len(ahead)):
                ahead.append((window, pool.submit(request, window)))
            if not ahead:
                return
            window, counts = ahead.popleft()
            yield window, counts.result()
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
