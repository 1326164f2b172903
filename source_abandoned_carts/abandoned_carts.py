"""The stream abandoned_carts: emits carts that changed since the last scan of Snipcart's list.

Snipcart's API has no "modified since" filter and returns carts in no known order, so a full scan
reads the whole list. Between full scans, the user can enable narrow scans, which read one of
Snipcart's time ranges. Which date a range filters on is not documented. Therefore a full scan emits
all carts modified since the previous full scan, even those that narrow scans have emitted.
"""

import logging
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from itertools import chain
from typing import Any

from airbyte_cdk.models import FailureType

from .config import Config
from .engine import Items
from .errors import ApiError
from .http import Clock
from .snipcart import ANYTIME, TIME_RANGES, Page, Snipcart
from .timestamps import from_epoch, sort_key, to_epoch, to_rfc3339

logger = logging.getLogger("airbyte.abandoned_carts")

_LISTING_DELAY = 3_600  # seconds; a modified cart is assumed to be on the list after this time
_CARTS_BETWEEN_STATES = 500  # checked after each page: up to 1,000 carts with the largest pages
_PAGES_BETWEEN_STATES = 20


@dataclass(frozen=True)
class State:
    """The state of the stream. Dates are RFC 3339 in UTC; a missing one is empty.

    A scan emits carts modified since `cursor`, or a full scan since `full_scan_cursor` if it is
    set. `full_scan_began` is the last full scan's start. The rest is about an unfinished full scan:
    its start, the newest modification date up to its start, and the token of its next page.
    """

    cursor: str = ""
    full_scan_began: str = ""
    full_scan_cursor: str = ""
    scan_began: str = ""
    scan_newest: str = ""
    scan_token: str = ""


class AbandonedCarts:
    """Reads the listed carts that were modified at or after the start date, or have no date."""

    name = "abandoned_carts"
    primary_key = "token"
    cursor_field = "modificationDate"
    sync_modes = ("full_refresh", "incremental")

    def __init__(self, api: Snipcart, config: Config) -> None:
        self.api = api
        self.progress = "0 pages and 0 carts read"
        self._start = config.start
        self._fingerprint = config.fingerprint
        # Carts leave a user's time range as they age, so with such a range every scan is full.
        may_narrow = config.filters["timeRange"] == ANYTIME
        self._full_scan_seconds = config.full_scan_hours * 3_600 if may_narrow else 0

    def read(self, saved: Mapping[str, Any] | None) -> Items:
        """Yield pages of carts, and states that cover all carts before them. Raises ApiError."""
        state, time_range, first, others = self._begin(self._parse(saved or {}))
        if state.cursor and to_epoch(state.cursor) > first.clock.received_at:
            logger.warning(
                f"The saved state of {self.name} is in the future ({state.cursor}). This sync "
                "emits no carts and keeps the state. To read all carts, refresh the stream and "
                "retain its records."
            )
            yield dict(saved or {})
            return
        is_full = time_range is None
        since = state.cursor
        if is_full and state.full_scan_cursor:
            since = state.full_scan_cursor
        logger.info(f"{self.name} {_described(state, time_range)}.")
        threshold = max(sort_key(since), sort_key(self._start))
        scan = _Scan(first.clock, state.scan_began, state.scan_newest, threshold)
        carts_read = unsaved_carts = unsaved_pages = 0
        for pages_read, page in enumerate(chain([first], others), start=1):
            carts_read += len(page.carts)
            unsaved_carts += len(page.carts)
            unsaved_pages += 1
            self.progress = f"{pages_read:,} pages and {carts_read:,} carts read"
            yield scan.take(page)  # when this resumes, the engine has taken all carts
            reached = {"scan_began": scan.began, "scan_newest": scan.newest}
            state = replace(state, **reached, scan_token=page.next_token or "")
            is_due = unsaved_carts > _CARTS_BETWEEN_STATES or unsaved_pages == _PAGES_BETWEEN_STATES
            # A narrow scan is short, and a full refresh starts over: neither is resumed.
            if is_due and page.next_token and is_full and saved is not None:
                yield self._write(state)
                unsaved_carts = unsaved_pages = 0
        self._warn(scan)
        yield self._write(self._finished(state, scan, page.clock, is_full))

    def _warn(self, scan: "_Scan") -> None:
        if not scan.is_service:
            logger.warning(
                "Snipcart's responses have no Date header. The clock of this machine decides which "
                "carts the next sync emits again, so keep it correct."
            )
        if scan.without_token:
            logger.warning(
                f"{scan.without_token:,} of the emitted carts have no token, which is the primary "
                "key. A destination that deduplicates keeps only one of them. Others add them "
                "again at each sync that emits them."
            )

    def _begin(self, state: State) -> tuple[State, str | None, Page, Iterator[Page]]:
        """Resume or start a scan. Return state, time range (None: all), first page and others."""
        if state.scan_began and state.scan_token:
            pages = self.api.pages(state.scan_token)
            try:
                return state, None, next(pages), pages
            except ApiError as error:
                if error.failure_type == FailureType.config_error:
                    raise
                logger.warning(
                    f"The connector cannot resume the last scan of {self.name} ({error.reason}) "
                    "and starts a new one. No carts are lost."
                )
        can_narrow = self._full_scan_seconds and state.full_scan_began
        time_range = next(iter(TIME_RANGES)) if can_narrow else None
        pages = self.api.pages(time_range=time_range)
        first = next(pages)
        # The first response has the service's time, which determines the range that is needed.
        if (needed := self._time_range(state, first.clock)) != time_range:
            time_range = needed
            pages = self.api.pages(time_range=time_range)
            first = next(pages)
        return replace(state, scan_began="", scan_newest=""), time_range, first, pages

    def _time_range(self, state: State, clock: Clock) -> str | None:
        """Return the shortest time range that covers what changed; None for the whole list."""
        if not (state.cursor and state.full_scan_began and clock.is_service):
            return None
        full_scan = to_epoch(state.full_scan_began)
        if not 0 <= clock.received_at - full_scan < self._full_scan_seconds:
            return None
        seconds = clock.received_at - max(to_epoch(state.cursor), full_scan - _LISTING_DELAY)
        return next((name for name, length in TIME_RANGES.items() if seconds <= length), None)

    def _finished(self, state: State, scan: "_Scan", last: Clock, is_full: bool) -> State:
        """Return the state after a scan; `last` is the clock of its last page.

        The cursor precedes what the scan may have missed: changes during it, and carts listed late.
        """
        cursor = state.cursor
        if state.scan_newest:
            reached = max(0, to_epoch(state.scan_newest) - _LISTING_DELAY - scan.duration(last))
            cursor = max(cursor, from_epoch(reached), key=sort_key)
        if not is_full:
            return State(cursor, state.full_scan_began, state.full_scan_cursor)
        can_narrow = cursor and self._full_scan_seconds and scan.is_service
        return State(cursor, state.scan_began, cursor) if can_narrow else State(cursor)

    def _write(self, state: State) -> dict[str, Any]:
        if state == State():
            return {}
        values = {key: value for key, value in asdict(state).items() if value}
        cursor = values.pop("cursor", self._start)
        settings = {"filters": self._fingerprint, "start": self._start}
        return {self.cursor_field: cursor, **settings, **values}

    def _parse(self, saved: Mapping[str, Any]) -> State:
        """Return the saved state, or an empty one if it does not match the settings."""
        if self.cursor_field not in saved:
            return State()
        values = {key: saved[key] for key in asdict(State()) if key in saved}
        token = values.pop("scan_token", None)
        values |= {"cursor": saved[self.cursor_field], "start": saved.get("start", self._start)}
        dates = {key: date for key, value in values.items() if (date := to_rfc3339(value))}
        is_valid = len(dates) == len(values) and sort_key(dates["start"]) <= sort_key(self._start)
        if not is_valid or saved.get("filters", self._fingerprint) != self._fingerprint:
            logger.warning(
                f"The saved state of {self.name} does not match the settings. All carts are read."
            )
            return State()
        if dates.pop("start") != self._start:
            dates.pop("full_scan_began", None)  # the next scan is a full one
        state = State(**dates, scan_token=token if isinstance(token, str) else "")
        # Before the first scan ends, the state has the start date in place of a cursor.
        return replace(state, cursor="") if token and state.cursor == self._start else state


def _described(state: State, time_range: str | None) -> str:
    """Describe a scan that begins, for the log. `state` is the one that it begins with."""
    if state.scan_began:
        return f"resumes the scan of the whole list that began at {state.scan_began}"
    if time_range:
        return f"reads the time range {time_range}, a narrow scan"
    return "reads the whole list"


class _Scan:
    """Which carts a scan emits, when it began, and the newest modification date up to then.

    It emits the carts that were modified at `threshold`, a sort key, or later, or have no date.

    The first response with a Date header tells by the service's clock when the scan began. Until
    then the local clock is used, and all dates are kept to find the newest one again.

    `began` and `newest` are those of the scan that this one resumes, or empty for a new scan.
    """

    def __init__(self, first: Clock, began: str, newest: str, threshold: str) -> None:
        self._threshold = threshold
        self._first = first
        self._resumed = began
        self._undecided: list[str] = []
        self.newest = newest
        self.without_token = 0  # emitted carts
        self._set_clock(first)

    @property
    def is_service(self) -> bool:
        return self._clock.is_service

    def take(self, page: Page) -> Iterator[dict[str, Any]]:
        """Take all carts out of a page, and yield those that are to be emitted."""
        dates = []
        page.carts.reverse()
        while page.carts:
            cart = page.carts.pop()
            modified = cart.get(AbandonedCarts.cursor_field)
            date = sort_key(modified) if modified else None
            if date:
                dates.append(date)
            if date is None or date >= self._threshold:
                if not cart.get(AbandonedCarts.primary_key):
                    self.without_token += 1
                yield cart
        self._add(dates, page.clock)

    def _add(self, dates: list[str], clock: Clock) -> None:
        """Add the dates of a page, as sort keys, and the clock of its response."""
        if not self.is_service:
            self._undecided += dates
            if clock.is_service:
                self._set_clock(clock)
                dates, self._undecided = self._undecided, []
        began = sort_key(self.began)
        newest = max((date for date in dates if date <= began), default="")
        if newest:
            self.newest = max(self.newest, f"{newest[:19]}Z")

    def duration(self, last: Clock) -> int:
        """Return the seconds until the response of the last page, those of a pause included."""
        began = min(to_epoch(self.began), self._clock.time_of(self._first))
        return self._clock.time_of(last) + last.received_at - last.sent_at - began

    def _set_clock(self, clock: Clock) -> None:
        self._clock = clock
        self.began = from_epoch(clock.time_of(self._first))
        if self._resumed:
            # A beginning after this response came from a local clock that was ahead.
            times = [self._resumed, self.began] if clock.is_service else [self._resumed]
            self.began = min(times, key=sort_key)
        if self.newest and sort_key(self.newest) > sort_key(self.began):
            self.newest = ""
