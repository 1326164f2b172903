"""The stream cart_stats: Retargeting's counts of abandoned and recovered carts, by windows."""

import logging
from collections.abc import Iterator, Mapping
from concurrent.futures import CancelledError, ThreadPoolExecutor
from typing import Any

from .checkpoint import Checkpoint, Items
from .retargeting import Counts, Retargeting
from .timestamps import from_epoch, to_epoch, to_rfc3339
from .windows import DAY, Window, windows

logger = logging.getLogger("airbyte.cart_stats")

NAME = "cart_stats"
PRIMARY_KEY = "date_from"
CURSOR = "date_to"

_PARALLEL_REQUESTS = 8


class CartStats:
    """Reads the counts of the windows from `start` (RFC 3339 in UTC), from 00:00 of that day.

    A window has `window_days` days; those that ended within `lookback_days` before the last sync
    are read again.
    """

    def __init__(self, api: Retargeting, start: str, window_days: int, lookback_days: int) -> None:
        self._api = api
        self._day = start[: len("2024-01-31")]
        self._window_days = window_days
        self._lookback_days = lookback_days

    def read(self, state: Mapping[str, Any] | None, now: int) -> Items:
        """Give a record for each window up to `now`, in Unix seconds, and behind each a state.

        `state` is the one last saved, {} where there is none. None asks for a full refresh, which
        reads all windows. Raises ApiError for the first window that fails, and gives none after it.
        """
        state = state or {}
        cursor = to_rfc3339(state.get(CURSOR))
        if cursor is not None and to_epoch(cursor) > now:
            logger.warning(
                f"The saved state of {NAME} lies in the future ({cursor}): no windows are read and "
                "the state is kept. To read all windows again, clear the stream's data."
            )
            yield Checkpoint(state)
            return
        start = to_epoch(f"{self._day}T00:00:00Z")
        to_read = list(windows(start, self._window_days, now, self._since(state, cursor)))
        for window, counts in zip(to_read, self._count(to_read), strict=True):
            date_to = from_epoch(window.last)
            record = {
                "date_from": from_epoch(window.first),
                "date_to": date_to,
                "abandoned": counts.abandoned,
                "recovered": counts.recovered,
            }
            yield [record]
            yield Checkpoint(
                {CURSOR: date_to, "window_days": self._window_days, "start": self._day}
            )
        if not to_read:
            yield Checkpoint(state)

    def _since(self, state: Mapping[str, Any], cursor: str | None) -> int | None:
        """Give the second whose window is the first to be read; None for all history."""
        if not state:
            return None
        saved = (state.get("window_days", self._window_days), state.get("start", self._day))
        if cursor is None or saved != (self._window_days, self._day):
            logger.warning(
                f"The saved state of {NAME} does not fit the windows set now, so all windows are "
                "read again. Clear the stream's data to be rid of old ones."
            )
            return None
        return to_epoch(cursor) - self._lookback_days * DAY

    def _count(self, to_read: list[Window]) -> Iterator[Counts]:
        """Ask for windows in parallel and give their counts in order."""
        failed: list[Window] = []

        def count(window: Window) -> Counts:
            # Workers take further windows before the reader comes to the one that failed.
            if any(window.first > other.first for other in failed):
                raise CancelledError
            try:
                return self._api.counts(window)
            except BaseException:
                failed.append(window)
                raise

        pool = ThreadPoolExecutor(_PARALLEL_REQUESTS, thread_name_prefix=NAME)
        try:
            yield from pool.map(count, to_read)
        finally:
            # After a failure not even those are waited for that wait to try again.
            pool.shutdown(wait=False, cancel_futures=True)
