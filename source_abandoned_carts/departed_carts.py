"""The stream departed_carts: carts that left Snipcart's list, and what became of them.

Source: Snipcart's documentation, "API: abandoned carts", GET /carts/abandoned/{token}. Each sync
compares the list with the carts that earlier syncs have stored in the state. A scan can miss a
listed cart when carts move between pages, so the stream requests each missing cart by its token.
"""

import heapq
import logging
import random
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain, islice
from typing import Any

from .engine import Items
from .snipcart import Page, Snipcart
from .timestamps import from_epoch, sort_key, to_rfc3339
from .windows import DAY

logger = logging.getLogger("airbyte.departed_carts")

_DAYS_KNOWN = 30  # a cart that is off the list is forgotten after this time
_MAX_KNOWN = 5_000  # carts
_MAX_STATE = 230_000  # characters of tokens; those of 5,000 carts have 195,000
_MAX_REQUESTS = 500  # requests for single carts, per sync

Known = dict[str, str]
"""Maps a cart's token to the start (RFC 3339 in UTC) of the last scan that listed the cart."""


class DepartedCarts:
    """Reads the carts that are no longer on the list that `api` returns."""

    name = "departed_carts"
    primary_key = "token"
    cursor_field = "noticed_at"
    sync_modes = ("incremental",)

    def __init__(self, api: Snipcart) -> None:
        self.api = api

    def read(self, saved: Mapping[str, Any] | None) -> Items:
        """Yield a record for each departed cart, then one state.

        `saved` is the last state; without one, the sync only stores the carts on the list in the
        state. Raises ApiError.
        """
        pages = self.api.pages()
        first = next(pages)
        began = from_epoch(first.clock.sent_at)
        forgotten = from_epoch(max(0, first.clock.sent_at - _DAYS_KNOWN * DAY))
        missing = {token: seen for token, seen in _parse(saved or {}).items() if seen >= forgotten}
        # If more carts are on the list, keep the most recently modified ones.
        listed = heapq.nlargest(_MAX_KNOWN, _listed(chain([first], pages), missing))
        requested = list(missing.items())
        if later := max(0, len(requested) - _MAX_REQUESTS):
            logger.info(f"Later syncs request {later:,} more carts that are missing from the list.")
            # At random, so that carts in progress do not keep the others from their turn.
            requested = random.sample(requested, _MAX_REQUESTS)
        for token, last_seen_at in requested:
            cart = self.api.cart(token)
            if cart is not None and _is_in_progress(cart):
                continue
            del missing[token]
            status = None if cart is None else cart.get("status")
            times = {"last_seen_at": last_seen_at, "noticed_at": began}
            yield [{"token": token, **times, "status": status, "cart": cart}]
        yield self._state(began, {**missing, **{token: began for _, token in listed}})

    def _state(self, began: str, known: Known) -> dict[str, Any]:
        grouped: dict[str, list[str]] = {}
        size = 0
        for token, last_seen_at in islice(known.items(), _MAX_KNOWN):
            size += len(token) + len('"",')
            if size < _MAX_STATE:
                grouped.setdefault(last_seen_at, []).append(token)
        return {self.cursor_field: began, "known": grouped}


def _parse(saved: Mapping[str, Any]) -> Known:
    """Return the known carts of a state, the most recently listed first."""
    known = saved.get("known")
    groups = known.items() if isinstance(known, Mapping) else ()
    return {
        token: last_seen_at
        for last_seen_at, tokens in sorted(groups, reverse=True)
        if to_rfc3339(last_seen_at) and isinstance(tokens, list)
        for token in tokens
        if isinstance(token, str)
    }


def _listed(pages: Iterable[Page], missing: Known) -> Iterator[tuple[str, str]]:
    """Yield a sort key and the token of each listed cart. Remove the token from `missing`."""
    for page in pages:
        for cart in page.carts:
            token = cart.get("token")
            if isinstance(token, str) and token:
                missing.pop(token, None)
                modified = cart.get("modificationDate")
                yield (sort_key(modified) if modified else ""), token


def _is_in_progress(cart: Mapping[str, Any]) -> bool:
    return not cart.get("completionDate") and cart.get("status") in ("InProgress", None)
