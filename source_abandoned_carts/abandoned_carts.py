"""The stream abandoned_carts: scans of Snipcart's list, from which old carts are left out.

The API has no "modified since" filter and no order, so a full scan reads the list to its end, and
passes on only the carts modified since the last full scan. Where the settings want it, narrow scans
come in between, which ask for a time range only. Which of a cart's dates that goes by is not
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
from .snipcart import Page, Snipcart, narrower_range, no_new_token
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
_NO_LONGER_COVERS = "no longer covers all that is to be read"


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

    `fingerprint` tells one set of filters from another; `time_range` is the one among them. Narrow
    scans are made within `full_scan_hours` of a full one.
    """

    def __init__(
        self,
        api: Snipcart,
        start: str,
        fingerprint: str,
        time_range: str = "Anytime",
        full_scan_hours: int = 0,
    ) -> None:
        self._api = api
        self._start = start
        self._fingerprint = fingerprint
        self._widest = time_range
        self._full_scan_hours = full_scan_hours

    def read(self, state: Mapping[str, Any] | None) -> Items:
        """Give the carts by pages, and behind the carts they cover the states.

        `state` is the one last saved, {} where there is none. None asks for a full refresh, which
        goes by the start date alone and saves no place. Raises ApiError.
        """
        incremental, state = state is not None, state or {}
        past = _past(state)
        page, scan = self._take_up(state, past) or self._begin(past)
        if past.cursor is not None and to_epoch(past.cursor) > page.answered_at:
            logger.warning(
                f"The saved state of {NAME} lies in the future ({past.cursor}): no carts are read "
                "and the state is kept. To read all carts again, clear the stream's data."
            )
            yield Checkpoint(state)
            return
        if self._full_scan_hours:
            logger.info(f"{NAME}: asking for {scan.time_range or 'the whole list'}.")
        since = max(sort_key(self._since(past, scan) or self._start), sort_key(self._start))
        unfinished = _state(_Past(past.cursor or _oldest(self._start, scan.began), past.full_scan))
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
            if not self._covers(scan.time_range, page, past):
                logger.info(f"{NAME}: {scan.time_range} {_NO_LONGER_COVERS}.")
                yield from self.read(_state(past))
                return
        yield Checkpoint(_state(self._finished(past, scan, newest, page.dated)))

    def _take_up(self, state: Mapping[str, Any], past: _Past) -> tuple[Page, Scan] | None:
        """Take up the scan that the state has a place in; None where there is none, or no more."""
        if _SCAN not in state:
            return None
        scan = _saved_scan(state[_SCAN])
        if scan is None or scan.filters != self._fingerprint:
            reason = "it is not one for the filters set now"
        else:
            try:
                page = self._api.page(scan.token, scan.time_range)
                if self._covers(scan.time_range, page, past):
                    return page, scan
                reason = f"{scan.time_range} {_NO_LONGER_COVERS}"
            except ApiError as error:
                if not _is_unknown_place(error):
                    raise
                status = "" if error.status is None else f", HTTP {error.status}"
                reason = f"Snipcart gives no page for it{status}"
        logger.warning(
            f"The place that the last scan of {NAME} came to cannot be taken up ({reason}): "
            "the list is read from its beginning. No carts are lost."
        )
        return None

    def _begin(self, past: _Past) -> tuple[Page, Scan]:
        """Begin a scan, narrow or full."""
        # How narrow it may be, the server's clock must tell: it is asked with the narrowest range.
        may_be_narrow = self._full_scan_hours and past.full_scan
        time_range = narrower_range(0, self._widest) if may_be_narrow else None
        page = self._api.page(None, time_range)
        while not self._covers(time_range, page, past):
            time_range = self._time_range(page, past)
            page = self._api.page(None, time_range)
        began = from_epoch(page.asked_at)
        return page, Scan(None, self._fingerprint, began, time_range=time_range)

    def _covers(self, time_range: str | None, page: Page, past: _Past) -> bool:
        """Tell whether, at the time of a page, a range goes back as far as it must.

        Its beginning moves with the clock: a destination may be slow, and a place days old.
        """
        return time_range in (None, self._time_range(page, past))

    def _time_range(self, page: Page, past: _Past) -> str | None:
        """Give the time range for a narrow scan at the time of a page; None for a full scan."""
        if not (page.dated and past.cursor and past.full_scan):
            return None
        since_full_scan = page.answered_at - to_epoch(past.full_scan.began)
        if not 0 <= since_full_scan < self._full_scan_hours * _HOUR:
            return None
        # From the newest change known, as a cart may come onto the list a while after its change.
        # In a shop so quiet that no range goes back there: from the full scan, which saw all.
        since_cursor = page.answered_at - to_epoch(past.cursor)
        return narrower_range(since_cursor + _MARGIN, self._widest) or narrower_range(
            since_full_scan + _MARGIN, self._widest
        )

    def _since(self, past: _Past, scan: Scan) -> str | None:
        """Give the modification date from which a scan passes carts on, None for all."""
        if past.cursor and past.full_scan and scan.time_range is None:
            return _oldest(past.cursor, past.full_scan.cursor)
        return past.cursor

    def _finished(self, past: _Past, scan: Scan, newest: str | None, dated: bool) -> _Past:
        """Give what the scans have come to with this one.

        A cursor is the newest date, but not later than the scan's beginning: what is modified while
        the scan runs may stand on a page already read, and is read next time.
        """
        reached = newest and _oldest(newest, scan.began)
        cursor = _newest(past.cursor, reached)
        if scan.time_range is not None:
            return _Past(cursor, past.full_scan)
        last = past.full_scan.cursor if past.full_scan else past.cursor
        reached = _newest(last, reached)
        if reached is None or not (dated and self._full_scan_hours):
            return _Past(cursor)
        return _Past(cursor, FullScan(scan.began, reached))


def _is_since(cart: Mapping[str, Any], since: str) -> bool:
    modified = cart.get(CURSOR)
    return modified is None or sort_key(modified) >= since


def _newest(*dates: str | None) -> str | None:
    return max(filter(None, dates), key=sort_key, default=None)


def _oldest(*dates: str) -> str:
    return min(dates, key=sort_key)


def _past(state: Mapping[str, Any]) -> _Past:
    """Read what the finished scans have come to; nothing where the state cannot be read."""
    cursor = to_rfc3339(state.get(CURSOR))
    if cursor is None and CURSOR in state:
        logger.warning(f"The saved {CURSOR} of {NAME} is no date; all carts are read again.")
    if cursor is None or _FULL_SCAN not in state:
        return _Past(cursor)
    saved = state[_FULL_SCAN]
    saved = saved if isinstance(saved, Mapping) else {}
    began, full_cursor = to_rfc3339(saved.get("began")), to_rfc3339(saved.get("cursor"))
    if began is None or full_cursor is None:
        logger.warning(f"The saved {_FULL_SCAN} of {NAME} is no date; all carts are read again.")
        return _Past()
    return _Past(cursor, FullScan(began, full_cursor))


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
    if time_range is not None and not (isinstance(time_range, str) and is_whole(time_range)):
        return None
    return Scan(token, str(saved.get("filters")), began, newest, time_range)


def _is_unknown_place(error: ApiError) -> bool:
    """Tell whether a page may fail for its token: refused as such, or never given after all tries.

    Wrong keys are configuration errors, and say nothing of the token.
    """
    if error.failure_type == FailureType.system_error:
        return error.status is not None and 400 <= error.status < 500
    return bool(error.failure_type == FailureType.transient_error)
