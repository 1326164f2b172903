"""The stream departed_carts: carts that left Snipcart's list, and what became of them.

Source: Snipcart's documentation, "API: abandoned carts", GET /carts/abandoned/{token}. Each sync
compares the list with the carts that earlier syncs have stored in the state. A scan can miss a
listed cart when carts move between pages, so the stream requests each missing cart by its token.

A sync requests a limited number of missing carts, in turns: first those that were never requested,
then the others, the one with the oldest request first. At random, some carts would not have been
requested before they are forgotten.
"""

import heapq
import json
import logging
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain, groupby, islice
from operator import itemgetter
from typing import Any

from airbyte_cdk.models import FailureType

from .engine import Items
from .errors import ApiError
from .snipcart import Snipcart
from .timestamps import from_epoch, sort_key, to_epoch, to_rfc3339
from .windows import DAY

logger = logging.getLogger("airbyte.departed_carts")

_DAYS_KNOWN = 30  # a cart that is off the list is forgotten after this time
_MAX_KNOWN = 5_000  # carts
_MAX_STATE = 260_000  # bytes of times and tokens; the whole state stays below 256 KiB
_LONG_TOKEN = 1_000  # bytes; a longer one that does not fit is left out alone
_MAX_REQUESTS = 500  # requests for single carts, per sync
_MAX_FAILURES = 3  # in a row: the service fails, and not the request for one cart

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
        self.progress = "0 pages and 0 carts read"

    def read(self, saved: Mapping[str, Any] | None) -> Items:
        """Yield a record for each departed cart, then one state.

        Without a saved state, the sync only stores the carts on the list in the state. Raises
        ApiError; if it is about single carts, only after the state.
        """
        known, requested = _parse(saved or {})
        scan_began, listed = self._scan(known)
        began = from_epoch(scan_began)
        forgotten = from_epoch(max(0, scan_began - _DAYS_KNOWN * DAY))
        self._warn_about_a_pause(saved or {}, scan_began)
        missing = {token: seen for token, seen in known.items() if seen >= forgotten}
        requested = [token for token in requested if token in missing]
        turns = _Turns(self.api, [*_without(missing, requested), *requested])
        self.progress += f", {len(turns.later):,} missing carts to request"
        for token, cart in turns.departures():
            times = {"last_seen_at": missing[token], "noticed_at": began}
            status = cart.get("status") if cart else None
            yield [{"token": token, **times, "status": status, "cart": cart}]
        never_requested = _without(turns.later, requested)
        requested = [*_without(turns.later, never_requested), *turns.in_progress]
        by_priority = {token: missing[token] for token in never_requested}
        by_priority |= dict.fromkeys(listed, began)
        latest_first = sorted(requested, key=missing.__getitem__, reverse=True)
        by_priority |= {token: missing[token] for token in latest_first}
        yield _state(began, by_priority, requested)
        if turns.failure:
            raise turns.failure

    def _warn_about_a_pause(self, saved: Mapping[str, Any], scan_began: int) -> None:
        last_sync = to_rfc3339(saved.get(self.cursor_field))
        seconds = scan_began - to_epoch(last_sync) if last_sync else 0
        if seconds > _DAYS_KNOWN * DAY:
            logger.warning(
                f"The last sync of {self.name} was {seconds // DAY} days ago. Carts that left the "
                f"list in the meantime are unknown. Sync at least every {_DAYS_KNOWN} days."
            )

    def _scan(self, known: Known) -> tuple[int, list[str]]:
        """Read the list, and remove its carts from `known`.

        Return when the scan began, and the tokens of the most recently modified carts in order.
        """
        pages = self.api.pages()
        first = next(pages)
        clock = first.clock
        dates: dict[str, str] = {}  # by token, as sort keys
        carts_read = 0
        for pages_read, page in enumerate(chain([first], pages), start=1):
            carts_read += len(page.carts)
            self.progress = f"{pages_read:,} pages and {carts_read:,} carts read"
            if page.clock.is_service and not clock.is_service:
                clock = page.clock
            for cart in page.carts:
                token = cart.get("token")
                if isinstance(token, str) and token.strip("."):  # "." is not sent as a path
                    known.pop(token, None)
                    modified = cart.get("modificationDate")
                    date = sort_key(modified) if modified else ""
                    dates[token] = max(date, dates.get(token, ""))  # a cart can be listed twice
            if len(dates) > 2 * _MAX_KNOWN:
                dates = dict(_newest(dates))  # memory must not grow with the list
        return clock.time_of(first.clock), [token for token, _ in _newest(dates)]


class _Turns:
    """Requests missing carts in order, up to the limit per sync.

    Afterwards, `later` has the tokens that were not requested, and `in_progress` those of the carts
    that are still in progress. A cart whose request failed is one of them, so that the next sync
    requests all others first. `failure` is the error to end the stream with.
    """

    def __init__(self, api: Snipcart, tokens: list[str]) -> None:
        self._api = api
        self.later = deque(tokens)
        self.in_progress: list[str] = []
        self.failure: ApiError | None = None

    def departures(self) -> Iterator[tuple[str, dict[str, Any] | None]]:
        """Yield the token and the cart of each departed cart; None for a cart that is gone."""
        failures_in_a_row = 0
        for _ in range(min(len(self.later), _MAX_REQUESTS)):
            token = self.later.popleft()
            try:
                cart = self._api.cart(token)
            except ApiError as error:
                self.in_progress.append(token)
                self.failure = self.failure or error
                if error.failure_type != FailureType.transient_error:
                    failures_in_a_row = 0  # the service responds, but not with this cart
                    continue
                failures_in_a_row += 1
                if failures_in_a_row == _MAX_FAILURES:
                    self.failure = error
                    break
            else:
                failures_in_a_row = 0
                if cart is None or not _is_in_progress(cart):
                    yield token, cart
                else:
                    self.in_progress.append(token)
        if self.later:
            logger.info(f"Later syncs request {len(self.later):,} more carts that are missing.")


def _parse(saved: Mapping[str, Any]) -> tuple[Known, list[str]]:
    """Return the known carts of a state, and the tokens of those that were requested, in order."""
    known, requested = saved.get("known"), saved.get("requested")
    groups = known.items() if isinstance(known, Mapping) else ()
    carts = [
        (token, last_seen_at)
        for last_seen_at, tokens in sorted(groups)
        if to_rfc3339(last_seen_at) and isinstance(tokens, list)
        for token in tokens
        if isinstance(token, str)
    ]
    places = requested if isinstance(requested, list) else []
    in_turn = [carts[n][0] for n in places if type(n) is int and 0 <= n < len(carts)]
    return dict(carts), list(dict.fromkeys(in_turn))


def _state(began: str, by_priority: Known, requested: list[str]) -> dict[str, Any]:
    """Return a state with as many carts as may be known. `requested` is in the order of turns.

    In the state, "requested" holds the place of each of these carts in "known", because a second
    copy of the tokens would not fit.
    """
    carts = dict(islice(by_priority.items(), _MAX_KNOWN))
    sizes = {token: _size(token) for token in carts}
    sizes |= {token: sizes[token] + len("4999, ") for token in requested if token in carts}
    times = _merge_times(set(carts.values()), _MAX_STATE - sum(sizes.values()))
    room = _MAX_STATE
    known: dict[str, list[str]] = {}
    for token, last_seen_at in carts.items():
        time = times[last_seen_at]
        size = sizes[token] + (0 if time in known else _size_of_times({time}))
        if size <= room:
            room -= size
            known.setdefault(time, []).append(token)
        elif size < _LONG_TOKEN:
            break  # a shorter token of lower priority must not take its place
    known = dict(sorted(known.items()))
    places = {token: place for place, token in enumerate(chain(*known.values()))}
    in_turn = [places[token] for token in requested if token in places]
    return {DepartedCarts.cursor_field: began, "known": known, "requested": in_turn}


def _merge_times(times: Iterable[str], room: int) -> dict[str, str]:
    """Map each time to itself, or to the first of its day until the times fit into the room.

    The oldest days come first. A cart is then forgotten up to a day earlier.
    """
    merged = {time: time for time in sorted(times)}
    for _, times_of_day in groupby(list(merged), key=lambda time: time[: len("2024-01-31")]):
        if _size_of_times(set(merged.values())) <= room:
            break
        first, *others = times_of_day
        merged |= dict.fromkeys(others, first)
    return merged


def _size_of_times(times: Iterable[str]) -> int:
    return sum(len(time) + len('"": [], ') for time in times)


def _size(text: str) -> int:
    """Return how many bytes a text and the comma after it have in the state, as UTF-8."""
    return len(json.dumps(text, ensure_ascii=False).encode()) + len(", ")


def _newest(dates: Mapping[str, str]) -> list[tuple[str, str]]:
    return heapq.nlargest(_MAX_KNOWN, dates.items(), key=itemgetter(1))


def _without(tokens: Iterable[str], others: Iterable[str]) -> list[str]:
    excluded = set(others)
    return [token for token in tokens if token not in excluded]


def _is_in_progress(cart: Mapping[str, Any]) -> bool:
    return not cart.get("completionDate") and cart.get("status") in ("InProgress", None)
