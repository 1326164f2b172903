"""The stream abandoned_carts: scans of Snipcart's list that emit what changed since the last one.

Snipcart's API has no "modified since" filter and returns carts in no known order, so a full scan
reads the whole list. Between full scans, the settings can ask for narrow scans, which read one of
Snipcart's time ranges. Which date a range filters on is not documented. Therefore a full scan emits
all carts modified since the previous full scan, whatever the narrow ones have emitted.
"""

import logging
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from itertools import chain
from typing import Any

from airbyte_cdk.models import FailureType

from .config import Config
from .engine import Items
from .http import Clock
from .json_text import is_encodable
from .responses import ApiError
from .snipcart import ANYTIME, TIME_RANGES, Page, Snipcart
from .timestamps import from_epoch, sort_key, to_epoch, to_rfc3339

logger = logging.getLogger("airbyte.abandoned_carts")

_HOUR = 3_600
_LISTING_DELAY = _HOUR  # within which a cart appears on the list after its modification date
_CARTS_BETWEEN_STATES = 1_000
_PAGES_BETWEEN_STATES = 20


@dataclass(frozen=True)
class State:
    """The state of the stream. Dates are RFC 3339 in UTC.

    Carts modified before `cursor` have been emitted. `full_scan_began` and `full_scan_cursor`, the
    cursor after the last full scan, are kept for narrow scans. The rest is of an unfinished scan:
    its beginning, the newest modification date up to then, and the token of the next page.
    """

    cursor: str | None = None
    full_scan_began: str | None = None
    full_scan_cursor: str | None = None
    scan_began: str = "1970-01-01T00:00:00Z"
    scan_newest: str | None = None
    scan_token: str | None = None


class AbandonedCarts:
    """Reads the carts that `api` lists and that were modified at or after the start date."""

    name = "abandoned_carts"
    primary_key = "token"
    cursor_field = "modificationDate"

    def __init__(self, api: Snipcart, config: Config) -> None:
        self.api = api
        self._start = config.start
        self._fingerprint = config.fingerprint
        # With a time range as a filter, a cart could leave the range before the next full scan.
        may_narrow = config.filters["timeRange"] == ANYTIME
        self._full_scan_seconds = config.full_scan_hours * _HOUR if may_narrow else 0

    def read(self, saved: Mapping[str, Any] | None) -> Items:
        """Yield the carts page by page, and states behind the carts that they cover.

        `saved` is the last state, {} for none. None means a full refresh, which emits all carts
        since the start date. Raises ApiError.
        """
        state, time_range, first, others = self._begin(self._parse(saved or {}))
        if state.cursor is not None and to_epoch(state.cursor) > first.clock.received_at:
            logger.warning(
                f"The saved state of {self.name} is in the future ({state.cursor}). No carts are "
                "read, and the state is kept. To read all carts again, clear the stream's data."
            )
            yield dict(saved or {})
            return
        is_full = time_range is None
        since = (state.full_scan_cursor if is_full else None) or state.cursor or self._start
        threshold = max(sort_key(since), sort_key(self._start))
        limit = sort_key(state.scan_began)
        newest = sort_key(state.scan_newest) if state.scan_newest else ""
        unsaved_carts = unsaved_pages = 0
        for page in chain([first], others):
            keys = [_sort_key(cart) for cart in page.carts]
            yield [cart for cart, key in zip(page.carts, keys, strict=True) if key >= threshold]
            newest = max([newest, *(key for key in keys if key <= limit)])
            date = from_epoch(to_epoch(newest)) if newest else None
            state = replace(state, scan_newest=date, scan_token=page.next_token)
            unsaved_carts += len(page.carts)
            unsaved_pages += 1
            # A further page like this one would exceed the number of carts.
            is_due = unsaved_carts + len(page.carts) > _CARTS_BETWEEN_STATES
            is_due = is_due or unsaved_pages == _PAGES_BETWEEN_STATES
            # A narrow scan is short, and a full refresh starts over: neither is resumed.
            if is_due and page.next_token and is_full and saved is not None:
                yield self._write(state)
                unsaved_carts = unsaved_pages = 0
        yield self._write(self._finished(state, page.clock, is_full))

    def _begin(self, state: State) -> tuple[State, str | None, Page, Iterator[Page]]:
        """Resume a scan or begin one. Return its time range, its first page and the others too."""
        if state.scan_token is not None:
            pages = self.api.pages(state.scan_token)
            try:
                return state, None, next(pages), pages
            except ApiError as error:
                if error.failure_type == FailureType.config_error:
                    raise
                logger.warning(
                    f"The last scan of {self.name} cannot be resumed, so a new one begins. No "
                    f"carts are lost. {error.message}"
                )
        can_narrow = self._full_scan_seconds and state.full_scan_began
        time_range = next(iter(TIME_RANGES)) if can_narrow else None
        pages = self.api.pages(time_range=time_range)
        first = next(pages)
        # The narrowest range was a guess: the service's clock tells how far back it has to reach.
        needed = self._time_range(state, first.clock)
        if needed != time_range:
            time_range = needed
            pages = self.api.pages(time_range=time_range)
            first = next(pages)
        if self._full_scan_seconds:
            logger.info(f"{self.name}: this scan reads {time_range or 'the whole list'}.")
        began = from_epoch(first.clock.sent_at)
        return replace(state, scan_began=began, scan_newest=None), time_range, first, pages

    def _time_range(self, state: State, clock: Clock) -> str | None:
        """Return the narrowest time range that will do at a time; None for the whole list."""
        if state.cursor is None or state.full_scan_began is None or not clock.is_service:
            return None
        full_scan = to_epoch(state.full_scan_began)
        if not 0 <= clock.received_at - full_scan < self._full_scan_seconds:
            return None
        seconds = clock.received_at - max(to_epoch(state.cursor), full_scan - _LISTING_DELAY)
        return next((name for name, length in TIME_RANGES.items() if seconds <= length), None)

    def _finished(self, state: State, clock: Clock, is_full: bool) -> State:
        """Return the state after a scan whose last page came at `clock`.

        Its cursor is before all that the scan may have missed: carts modified while it ran, and
        carts that appear on the list with a delay.
        """
        cursor = state.cursor
        if state.scan_newest is not None:
            duration = max(0, clock.received_at - to_epoch(state.scan_began))
            reached = max(0, to_epoch(state.scan_newest) - _LISTING_DELAY - duration)
            cursor = max(cursor or "", from_epoch(reached), key=sort_key)
        if not is_full:
            return State(cursor, state.full_scan_began, state.full_scan_cursor)
        is_kept = cursor and self._full_scan_seconds and clock.is_service
        return State(cursor, state.scan_began, cursor) if is_kept else State(cursor)

    def _write(self, state: State) -> dict[str, Any]:
        if state == State():
            return {}
        default = asdict(State())
        values = {key: value for key, value in asdict(state).items() if value != default[key]}
        cursor = values.pop("cursor", self._start)
        settings = {"filters": self._fingerprint, "start": self._start}
        return {self.cursor_field: cursor, **settings, **values}

    def _parse(self, saved: Mapping[str, Any]) -> State:
        """Read a saved state, as far as it is valid for the settings."""
        if self.cursor_field not in saved:
            return State()
        values = {key: saved[key] for key in asdict(State()) if key in saved}
        token = values.pop("scan_token", "")
        values |= {"cursor": saved[self.cursor_field], "start": saved.get("start", self._start)}
        dates = {key: date for key, value in values.items() if (date := to_rfc3339(value))}
        if len(dates) < len(values):
            logger.warning(f"The saved state of {self.name} is not valid. All carts are read.")
            return State()
        start = dates.pop("start")
        if saved.get("filters", self._fingerprint) != self._fingerprint or start > self._start:
            logger.info(f"{self.name}: the filters or the start date changed. All carts are read.")
            return State()
        state = State(**dates)
        if start != self._start and state.full_scan_began:
            state = replace(state, full_scan_began=from_epoch(0))  # the next scan is a full one
        is_resumable = isinstance(token, str) and token and is_encodable(token)
        return replace(state, scan_token=token) if is_resumable else state


def _sort_key(cart: Mapping[str, Any]) -> str:
    """Return the sort key of a cart's modification date; a cart without one is always emitted."""
    modified = cart.get(AbandonedCarts.cursor_field)
    return "undated" if modified is None else sort_key(modified)
