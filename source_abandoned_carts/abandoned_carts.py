"""The stream abandoned_carts: scans of Snipcart's list, from which old carts are left out.

The API has no "modified since" filter and no order, so a full scan reads the list to its end, and
passes on only the carts modified since the last full scan. Where the settings want it, narrow scans
come in between, which ask for a time range only. Which of a cart's dates a range looks at is not
documented: what they miss, the next full scan passes on.
"""

import logging
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from airbyte_cdk.models import FailureType

from .checkpoint import Checkpoint, Items
from .http import ApiError
from .json_text import is_whole
from .snipcart import ANYTIME, TIME_RANGES, Page, Snipcart, no_new_token
from .timestamps import from_epoch, sort_key, to_epoch, to_rfc3339

logger = logging.getLogger("airbyte.abandoned_carts")

NAME = "abandoned_carts"
PRIMARY_KEY = "token"
CURSOR = "modificationDate"

_SCAN = "scan"
_FULL_SCAN = "full_scan"
_CARTS_BETWEEN_STATES = 500
_HOUR = 3_600
_MARGIN = _HOUR  # by which a time range goes back further than it must
_NARROWEST = next(iter(TIME_RANGES))
_FULL_SCAN_IS_DUE = "the whole list is to be read now"


@dataclass(frozen=True)
class Scan:
    """The place of an unfinished scan, as the state keeps it.

    `token` stands for the next page, None for the first. `filters` is the fingerprint of those it
    is valid for. `began` is the server's clock when the scan began, `newest` the newest
    modification date passed on so far, both RFC 3339 in UTC. `time_range` is that of a narrow scan,
    None in a full one.
    """

    token: str | None
    filters: str
    began: str
    newest: str | None = None
    time_range: str | None = None


@dataclass(frozen=True)
class FullScan:
    """The last full scan, as the state keeps it for the narrow ones, in RFC 3339 in UTC.

    `began` is the server's clock when it began. `cursor` is the modification date from which the
    next full scan passes carts on, whatever narrow scans have read meanwhile.
    """

    began: str
    cursor: str


@dataclass(frozen=True)
class _Past:
    """What the finished scans have come to: the newest modification date, and the last full one."""

    cursor: str | None = None
    full_scan: FullScan | None = None


class AbandonedCarts:
    """Reads the carts last modified at or after `start`, RFC 3339 in UTC.

    `fingerprint` tells one set of filters from another. Narrow scans are made within
    `full_scan_hours` of a full one, but not where `own_range`, the filter, is a range already: a
    cart that they miss might have left it before the next full scan.
    """

    def __init__(
        self,
        api: Snipcart,
        start: str,
        fingerprint: str,
        own_range: str = ANYTIME,
        full_scan_hours: int = 0,
    ) -> None:
        self._api = api
        self._start = start
        self._fingerprint = fingerprint
        self._longest_narrow = full_scan_hours * _HOUR if own_range == ANYTIME else 0

    def read(self, state: Mapping[str, Any] | None) -> Items:
        """Give the carts by pages, and behind the carts they cover the states.

        `state` is the one last saved, {} where there is none. None asks for a full refresh, which
        goes by the start date alone and saves no place. Raises ApiError.
        """
        incremental, state = state is not None, state or {}
        past = _past(state)
        if past is None:
            past, state = _Past(), {}
        page, scan = self._first_page(state, past)
        if past.cursor is not None and to_epoch(past.cursor) > page.answered_at:
            logger.warning(
                f"The saved state of {NAME} lies in the future ({past.cursor}): no carts are read "
                "and the state is kept. To read all carts again, clear the stream's data."
            )
            yield Checkpoint(state)
            return
        yield from self._scan(page, scan, past, incremental)

    def _scan(self, page: Page, scan: Scan, past: _Past, incremental: bool) -> Items:
        if self._longest_narrow:
            kind = f"a narrow scan, {scan.time_range}" if scan.time_range else "a full scan"
            logger.info(f"{NAME}: {kind}.")
        full = scan.time_range is None
        last = past.full_scan.cursor if full and past.full_scan else past.cursor
        since = max(sort_key(last or self._start), sort_key(self._start))
        unfinished = _state(_Past(past.cursor or _oldest(self._start, scan.began), past.full_scan))
        dated = page.dated
        token, newest = scan.token, scan.newest
        seen = {token}
        unsaved = 0
        while True:
            carts = [cart for cart in page.carts if _is_since(cart, since)]
            newest = _newest(newest, *(cart.get(CURSOR) for cart in carts))
            yield carts
            unsaved += len(page.carts)
            token = page.next_token
            if token is None:
                break
            if token in seen:
                raise no_new_token()
            seen.add(token)
            # One more page like this one would be too many.
            if incremental and unsaved + len(page.carts) > _CARTS_BETWEEN_STATES:
                place = Scan(token, self._fingerprint, scan.began, newest, scan.time_range)
                yield Checkpoint({**unfinished, _SCAN: asdict(place)})
                unsaved = 0
            page = self._api.page(token, scan.time_range)
            # A destination may be slow, and a range's beginning moves with the clock.
            needed = self._needed_range(page, past)
            if not _goes_back(scan.time_range, needed):
                yield from self._scan(*self._begin(needed, past), past, incremental)
                return
        # The newest date, but not later than the scan's beginning: what is modified while it runs
        # may stand on a page already read, and is read next time.
        reached = newest and _oldest(newest, scan.began)
        full_scan = past.full_scan
        if full:
            cursor = _newest(last, reached)
            may_follow = cursor and dated and self._longest_narrow
            full_scan = FullScan(scan.began, cursor) if cursor and may_follow else None
        yield Checkpoint(_state(_Past(_newest(past.cursor, reached), full_scan)))

    def _first_page(self, state: Mapping[str, Any], past: _Past) -> tuple[Page, Scan]:
        """Take up the scan that the state has a place in, or begin one."""
        # How far back a range must go, the server's clock tells: the narrowest one is a try.
        time_range = _NARROWEST if self._longest_narrow and past.full_scan else None
        if _SCAN in state:
            scan = _saved_scan(state[_SCAN])
            if scan is None or scan.filters != self._fingerprint:
                reason = "it is not one for the filters set now"
            elif scan.time_range and not time_range:
                reason = _FULL_SCAN_IS_DUE
            else:
                try:
                    page = self._api.page(scan.token, scan.time_range)
                    time_range = self._needed_range(page, past)
                    if _goes_back(scan.time_range, time_range):
                        return page, scan
                    reason = "its time range has moved on" if time_range else _FULL_SCAN_IS_DUE
                except ApiError as error:
                    if not _is_unknown_place(error):
                        raise
                    status = "" if error.status is None else f", HTTP {error.status}"
                    reason = f"Snipcart gives no page for it{status}"
            logger.warning(
                f"The place that the last scan of {NAME} came to cannot be taken up ({reason}): "
                "the list is read from its beginning. No carts are lost."
            )
        return self._begin(time_range, past)

    def _begin(self, time_range: str | None, past: _Past) -> tuple[Page, Scan]:
        """Begin a scan of a time range, or of a wider one if that turns out to be needed."""
        page = self._api.page(None, time_range)
        while not _goes_back(time_range, needed := self._needed_range(page, past)):
            time_range = needed
            page = self._api.page(None, time_range)
        began = from_epoch(page.asked_at)
        return page, Scan(None, self._fingerprint, began, time_range=time_range)

    def _needed_range(self, page: Page, past: _Past) -> str | None:
        """Give the narrowest time range that does at the time of a page; None for a full scan."""
        if not (page.dated and past.cursor and past.full_scan):
            return None
        since_full_scan = page.answered_at - to_epoch(past.full_scan.began)
        if not 0 <= since_full_scan < self._longest_narrow:
            return None
        # From the newest change known, as a cart may come onto the list a while after its change.
        # In a shop so quiet that no range goes back there: from the full scan, which saw all.
        since_cursor = page.answered_at - to_epoch(past.cursor)
        return _narrowest(since_cursor + _MARGIN) or _narrowest(since_full_scan + _MARGIN)


def _narrowest(seconds: int) -> str | None:
    """Give the narrowest time range that goes back so far, None where there is none."""
    return next((name for name, length in TIME_RANGES.items() if seconds <= length), None)


def _goes_back(time_range: str | None, needed: str | None) -> bool:
    """Tell whether a time range goes back as far as another; None is the whole list."""
    if time_range is None or needed is None:
        return time_range is None
    return TIME_RANGES[time_range] >= TIME_RANGES[needed]


def _is_since(cart: Mapping[str, Any], since: str) -> bool:
    modified = cart.get(CURSOR)
    return modified is None or sort_key(modified) >= since


def _newest(*dates: str | None) -> str | None:
    return max(filter(None, dates), key=sort_key, default=None)


def _oldest(*dates: str) -> str:
    return min(dates, key=sort_key)


def _past(state: Mapping[str, Any]) -> _Past | None:
    """Read what the finished scans have come to; None where the state cannot be read."""
    cursor, full_scan = to_rfc3339(state.get(CURSOR)), None
    unreadable = CURSOR if cursor is None and CURSOR in state else None
    if cursor is not None and _FULL_SCAN in state:
        full_scan = _saved_full_scan(state[_FULL_SCAN])
        if full_scan is None or sort_key(full_scan.cursor) > sort_key(cursor):
            unreadable = _FULL_SCAN
    if unreadable:
        logger.warning(f"The saved {unreadable} of {NAME} is no date; all carts are read again.")
        return None
    return _Past(cursor, full_scan)


def _saved_full_scan(saved: Any) -> FullScan | None:
    saved = saved if isinstance(saved, Mapping) else {}
    began, cursor = to_rfc3339(saved.get("began")), to_rfc3339(saved.get("cursor"))
    return FullScan(began, cursor) if began and cursor else None


def _state(past: _Past) -> dict[str, Any]:
    """Write what the finished scans have come to as a state."""
    if past.cursor is None:
        return {}
    full_scan = {_FULL_SCAN: asdict(past.full_scan)} if past.full_scan else {}
    return {CURSOR: past.cursor, **full_scan}


def _saved_scan(saved: Any) -> Scan | None:
    token = saved.get("token") if isinstance(saved, Mapping) else None
    if not isinstance(token, str) or not token or not is_whole(token):
        return None
    began, newest = to_rfc3339(saved.get("began")), to_rfc3339(saved.get("newest"))
    if began is None:
        return None
    time_range = saved.get("time_range")
    if time_range not in (None, *TIME_RANGES):
        return None
    return Scan(token, str(saved.get("filters")), began, newest, time_range)


def _is_unknown_place(error: ApiError) -> bool:
    """Tell whether a page may fail for its token: refused as such, or never given after all tries.

    Wrong keys are configuration errors, and say nothing of the token.
    """
    if error.failure_type == FailureType.system_error:
        return error.status is not None and 400 <= error.status < 500
    return bool(error.failure_type == FailureType.transient_error)
