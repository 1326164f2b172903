"""Snipcart's API. Its documentation: "API: abandoned carts".

It has two requests: GET /carts/abandoned for the list, and GET /carts/abandoned/{token} for a cart.
"""

import logging
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple
from urllib.parse import quote

from airbyte_cdk.models import FailureType
from requests.auth import HTTPBasicAuth

from .config import Config
from .errors import ApiError
from .http import Client, Clock, RetryPolicy, Session
from .issues import REPORT
from .timestamps import is_converted, to_rfc3339
from .windows import DAY

logger = logging.getLogger("airbyte.snipcart")

_LIST = "/carts/abandoned"

ANYTIME = "Anytime"
# The other time ranges, and the fewest seconds that each covers (February has 28 days).
TIME_RANGES = {
    "LessThan4Hours": 4 * 3_600,
    "LessThanADay": DAY,
    "LessThanAWeek": 7 * DAY,
    "LessThanAMonth": 28 * DAY,
}

# Page sizes to try. 50 is the documentation's example; above 500, only memory use grows.
_LIMITS = [50, 100, 200, 400, 500]

_CART_DATES = ("creationDate", "modificationDate", "completionDate")
_ITEM_DATES = ("addedOn", "modificationDate")


class Page(NamedTuple):
    """A page of carts with normalized dates. On the last page, `next_token` is None."""

    carts: list[dict[str, Any]]
    next_token: str | None
    clock: Clock


class Snipcart(Client):
    """The abandoned carts of one account in one mode, selected by the filters of a Config."""

    name = "Snipcart"
    advice = {  # noqa: RUF012
        401: "Copy the secret key again from Snipcart's dashboard, Account → API keys → Secret.",
        403: "Use the key of the other mode, Test or Live. If the key is right, ask Snipcart's "
        "support whether the account includes abandoned carts.",
    }
    if_too_large = "Set “Page size” (snipcart_page_size) to a smaller number."
    url_variable = "SNIPCART_API_URL"
    default_url = "https://app.snipcart.com/api"

    def __init__(self, config: Config, policy: RetryPolicy, session: Session | None = None) -> None:
        key = config.snipcart_api_key or ""
        # As bytes, because requests would encode a text in latin-1.
        super().__init__(key, policy, HTTPBasicAuth(key.encode(), b""), session)
        self._filters = config.filters
        self._limits = [config.page_size] if config.page_size else _LIMITS

    def check(self) -> None:
        """Request one cart; raise ApiError if that fails."""
        self._page(None, None, limit=1)

    def describe(self, path: str, params: Mapping[str, str]) -> str:
        """Describe a request for --debug. The path of a single cart holds its token."""
        return f"{path}, limit {params['limit']}" if path == _LIST else f"{_LIST}/{{token}}"

    def pages(self, token: str | None = None, time_range: str | None = None) -> Iterator[Page]:
        """Yield the pages of the list, starting at a continuation token if one is given.

        The page size grows while pages are full and shrinks after an error. `time_range` replaces
        the user's. Raises ApiError, also for a malformed page: it must not pass for an empty list.
        """
        limits, step, may_grow = self._limits, 0, True
        seen = {token}
        while True:
            try:
                page = self._page(token, time_range, limits[step])
                if page.next_token and page.next_token in seen:
                    raise _not_a_page()
            except ApiError as error:
                if step == 0 or error.status in (401, 403, 429):
                    raise
                if may_grow:
                    logger.info(
                        f"A request for {limits[step]} carts failed ({error.reason}). "
                        f"The connector continues with {limits[step - 1]} carts per page."
                    )
                may_grow = False
                step -= 1
                continue
            is_full = len(page.carts) >= limits[step]  # whoever reads the page may empty it
            yield page
            token = page.next_token
            if token is None:
                return
            seen.add(token)
            if may_grow and is_full and step + 1 < len(limits):
                step += 1

    def cart(self, token: str) -> dict[str, Any] | None:
        """Return a cart with normalized dates; None if Snipcart no longer has it. Raises ApiError.

        Unlike the list, this request also returns carts that were completed.
        """
        try:
            cart, _ = self.get(f"/carts/abandoned/{quote(token, safe='')}", {})
        except ApiError as error:
            if error.status in (404, 410):
                return None
            raise
        if not isinstance(cart, dict):
            message = f"Snipcart's response is not a cart. The API may have changed. {REPORT}"
            raise ApiError(message, FailureType.system_error)
        normalize_dates(cart)
        return cart

    def _page(self, token: str | None, time_range: str | None, limit: int) -> Page:
        params = {"limit": str(limit), **self._filters}  # a token might not include the filters
        if time_range is not None:
            params["timeRange"] = time_range
        if token is not None:
            params["continuationToken"] = token
        is_increased = limit > self._limits[0]
        content, clock = self.get(_LIST, params, only_rate_limits=is_increased)
        content = content if isinstance(content, dict) else {}
        carts, more = content.get("items"), content.get("hasMoreResults")
        next_token = content.get("continuationToken")
        if not isinstance(carts, list) or not all(isinstance(cart, dict) for cart in carts):
            raise _not_a_page()
        # The documentation's table says integer, its example shows a string.
        is_token = type(next_token) is int or (isinstance(next_token, str) and next_token)
        if not isinstance(more, bool) or (more and not is_token):
            raise _not_a_page()
        for cart in carts:
            normalize_dates(cart)
        return Page(carts, str(next_token) if more else None, clock)


def normalize_dates(cart: dict[str, Any]) -> None:
    """Convert the dates of a cart and its items to RFC 3339 in UTC, in place."""
    items = cart.get("items")
    for item in items if isinstance(items, list) else ():
        if isinstance(item, dict):
            _convert(item, _ITEM_DATES)
    _convert(cart, _CART_DATES)


def _convert(record: dict[str, Any], names: tuple[str, ...]) -> None:
    for name in names:
        value = record.get(name)
        if value is not None and not is_converted(value):
            record[name] = to_rfc3339(value)


def _not_a_page() -> ApiError:
    return ApiError(
        "Snipcart's response is not a page of carts: “items”, “hasMoreResults” or a new "
        f"“continuationToken” is missing. The API may have changed. {REPORT}",
        FailureType.system_error,
    )
