"""Snipcart's API of abandoned carts.

Source: Snipcart's documentation, "API: abandoned carts", GET /carts/abandoned.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from . import timestamps
from .http import ApiError, BasicAuth, Patience, Service, base_url
from .windows import DAY

URL_VARIABLE = "SNIPCART_API_URL"
URL = "https://app.snipcart.com/api"

ANYTIME = "Anytime"
# The other time ranges, each within the next, and how many seconds they go back for sure: how long
# a month is, the document does not say.
TIME_RANGES = {
    "LessThan4Hours": 4 * 3_600,
    "LessThanADay": DAY,
    "LessThanAWeek": 7 * DAY,
    "LessThanAMonth": 28 * DAY,
}

_CART_DATES = ("creationDate", "modificationDate", "completionDate")
_ITEM_DATES = ("addedOn", "modificationDate")

_ADVICE = {
    401: (
        "The secret API key was not accepted. Copy it again from Snipcart's dashboard, Account → "
        "API keys → Secret, and mind that Test and Live mode have keys of their own."
    ),
    403: (
        "Either the secret API key belongs to the other mode (Test and Live have keys of their "
        "own), or the Snipcart account does not include abandoned carts. See Account → API keys "
        "in Snipcart's dashboard, or ask Snipcart's support about the account."
    ),
}


@dataclass(frozen=True)
class Page:
    """One page of the list; `next_token` is None on the last.

    Each cart is a JSON object with its date-times as RFC 3339 in UTC, or null where they cannot be
    read. For `asked_at` and `answered_at`, Unix seconds, and `dated` see http.Answer.
    """

    carts: list[dict[str, Any]]
    next_token: str | None
    asked_at: int
    answered_at: int
    dated: bool


class Snipcart:
    """The abandoned carts of one account in one mode, under one set of filters.

    The filters go along with every page: whether a continuation token remembers them is not
    documented.
    """

    def __init__(
        self, key: str, filters: Mapping[str, str], page_size: int, patience: Patience
    ) -> None:
        self._filters = filters
        self._page_size = page_size
        self._service = Service(
            "Snipcart",
            base_url(URL_VARIABLE, URL),
            auth=BasicAuth(key),
            advice=_ADVICE,
            secret=key,
            patience=patience,
        )

    def check(self) -> None:
        """Ask for one cart; raise ApiError when that fails."""
        self._get(None, 1, None)

    def page(self, token: str | None, time_range: str | None = None) -> Page:
        """Give the page that a continuation token stands for, the first one for None.

        `time_range` takes the place of the one among the filters.
        Raises ApiError, also for an answer without a list of carts or without a way on: an empty
        list would look like a shop that lost no carts.
        """
        return self._get(token, self._page_size, time_range)

    def _get(self, token: str | None, limit: int, time_range: str | None) -> Page:
        params = {"limit": str(limit), **self._filters}
        if time_range is not None:
            params["timeRange"] = time_range
        if token is not None:
            params["continuationToken"] = token
        answer = self._service.get("/carts/abandoned", params)
        body = answer.body
        carts = body.get("items") if isinstance(body, dict) else None
        if not isinstance(carts, list) or not all(isinstance(cart, dict) for cart in carts):
            raise _unusable("a list of carts")
        more = body.get("hasMoreResults")
        if not isinstance(more, bool):
            raise _unusable("whether more carts follow")
        for cart in carts:
            _write_dates(cart)
        return Page(
            carts=carts,
            next_token=_token(body) if more else None,
            asked_at=answer.asked_at,
            answered_at=answer.answered_at,
            dated=answer.dated,
        )


def no_new_token() -> ApiError:
    """Give the error for a page that says more carts follow, and gives no new token for them."""
    return _unusable("a new continuation token, though more carts follow")


def _unusable(missing: str) -> ApiError:
    return ApiError(
        f"Snipcart's answer lacks {missing}, so the list of abandoned carts cannot be read to its "
        "end. Snipcart may have changed its API: please report this to the connector's maintainers."
    )


def _token(body: Mapping[str, Any]) -> str:
    token = body.get("continuationToken")
    # The document's table calls it an integer, its example shows a text.
    if isinstance(token, int) and not isinstance(token, bool):
        return str(token)
    if isinstance(token, str) and token:
        return token
    raise no_new_token()


def _write_dates(cart: dict[str, Any]) -> None:
    items = cart.get("items")
    for item in items if isinstance(items, list) else ():
        if isinstance(item, dict):
            _write(item, _ITEM_DATES)
    _write(cart, _CART_DATES)


def _write(record: dict[str, Any], names: tuple[str, ...]) -> None:
    for name in names:
        if name in record:
            record[name] = timestamps.to_rfc3339(record[name])
