"""The stream abandoned_carts: a scan of Snipcart's whole list, from which old carts are left out.

The API has no "modified since" filter and no order, so each sync reads the list to its end; an
incremental one passes on only the carts modified since the last scan began.
"""

import logging
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from airbyte_cdk.models import FailureType

from .checkpoint import Checkpoint, Items
from .http import ApiError
from .json_text import is_whole
from .snipcart import Page, Snipcart, no_new_token
from .timestamps import from_epoch, sort_key, to_epoch, to_rfc3339

logger = logging.getLogger("airbyte.abandoned_carts")

NAME = "abandoned_carts"
PRIMARY_KEY = "token"
CURSOR = "modificationDate"

_SCAN = "scan"
_CARTS_BETWEEN_STATES = 500


@dataclass(frozen=True)
class Scan:
    """The place of an unfinished scan, as the state keeps it.

    `token` stands for the next page, None for the first. `filters` is the fingerprint of those it
    is valid for. `began` is the server's clock when the scan began, `newest` the newest
    modification date passed on so far, both RFC 3339 in UTC.
    """

    token: str | None
    filters: str
    began: str
    newest: str | None = None


class AbandonedCarts:
    """Reads the carts last modified at or after `start`, RFC 3339 in UTC.

    `fingerprint` tells one set of filters from another.
    """

    def __init__(self, api: Snipcart, start: str, fingerprint: str) -> None:
        self._api = api
        self._start = start
        self._fingerprint = fingerprint

    def read(self, state: Mapping[str, Any] | None) -> Items:
        """Give the carts by pages, and behind the carts they cover the states.

        `state` is the one last saved, {} where there is none. None asks for a full refresh, which
        goes by the start date alone and saves no place. Raises ApiError.
        """
        incremental, state = state is not None, state or {}
        cursor = to_rfc3339(state.get(CURSOR))
        if cursor is None and CURSOR in state:
            logger.warning(f"The saved {CURSOR} of {NAME} is no date; all carts are read again.")
        page, scan = self._first_page(state)
        if cursor is not None and to_epoch(cursor) > page.answered_at:
            logger.warning(
                f"The saved state of {NAME} lies in the future ({cursor}): no carts are read and "
                "the state is kept. To read all carts again, clear the stream's data."
            )
            yield Checkpoint(state)
            return
        since = max(sort_key(cursor or self._start), sort_key(self._start))
        finished = cursor or min(self._start, scan.began, key=sort_key)
        token, newest = scan.token, scan.newest
        seen = {token}
        unsaved = 0
        while True:
            carts = [cart for cart in page.carts if _is_since(cart, since)]
            newest = _newest([newest, *(cart.get(CURSOR) for cart in carts)])
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
                place = Scan(token, self._fingerprint, scan.began, newest)
                yield Checkpoint({CURSOR: finished, _SCAN: asdict(place)})
                unsaved = 0
            page = self._api.page(token)
        yield Checkpoint(_finished_state(cursor, scan.began, newest))

    def _first_page(self, state: Mapping[str, Any]) -> tuple[Page, Scan]:
        """Take up the scan that the state has a place in, or begin one."""
        if _SCAN in state:
            scan = _saved_scan(state[_SCAN])
            if scan is None or scan.filters != self._fingerprint:
                reason = "it is not one for the filters set now"
            else:
                try:
                    return self._api.page(scan.token), scan
                except ApiError as error:
                    if not _is_unknown_place(error):
                        raise
                    status = "" if error.status is None else f", HTTP {error.status}"
                    reason = f"Snipcart gives no page for it{status}"
            logger.warning(
                f"The place that the last scan of {NAME} came to cannot be taken up ({reason}): "
                "the list is read from its beginning. No carts are lost."
            )
        page = self._api.page(None)
        return page, Scan(None, self._fingerprint, from_epoch(page.asked_at))


def _is_since(cart: Mapping[str, Any], since: str) -> bool:
    modified = cart.get(CURSOR)
    return modified is None or sort_key(modified) >= since


def _newest(dates: Iterable[str | None]) -> str | None:
    return max(filter(None, dates), key=sort_key, default=None)


def _saved_scan(saved: Any) -> Scan | None:
    token = saved.get("token") if isinstance(saved, Mapping) else None
    if not isinstance(token, str) or not token or not is_whole(token):
        return None
    began, newest = to_rfc3339(saved.get("began")), to_rfc3339(saved.get("newest"))
    if began is None:
        return None
    return Scan(token, str(saved.get("filters")), began, newest)


def _is_unknown_place(error: ApiError) -> bool:
    """Tell whether a page may fail for its token: refused as such, or never given after all tries.

    Wrong keys are configuration errors, and say nothing of the token.
    """
    if error.failure_type == FailureType.system_error:
        return error.status is not None and 400 <= error.status < 500
    return bool(error.failure_type == FailureType.transient_error)


def _finished_state(cursor: str | None, began: str, newest: str | None) -> dict[str, str]:
    """Give the cursor of a finished scan: the newest date, but not later than the scan's beginning.

    What is modified while the scan runs may stand on a page already read; it is read next time.
    """
    if newest is not None:
        reached = min(newest, began, key=sort_key)
        cursor = max(cursor or reached, reached, key=sort_key)
    return {} if cursor is None else {CURSOR: cursor}
