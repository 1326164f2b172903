"""What Retargeting's document leaves open."""

import time
from collections.abc import Iterator

from source_abandoned_carts.http import NoAuth

from .client import Answer, Client, Finding, OutOfRequestsError, UnansweredError, http

_WINDOWS = "retargeting_window_days"
_KEY = "retargeting_rest_key"
_DAY = 86_400
_THIRTY_DAYS = 30 * _DAY
_BACK = 10 * _DAY  # from now: counts of the last days may still change


class Retargeting:
    """Finds out about Retargeting's API with a REST key."""

    def __init__(self, client: Client, url: str, key: str) -> None:
        self._client = client
        self._url = f"{url}/shopping-carts"
        self._key = key
        self._start = int(time.time()) - _BACK - _THIRTY_DAYS

    def findings(self) -> Iterator[Finding]:
        """Give what is found out, a question at a time. Raises UnansweredError."""
        end = self._start + _THIRTY_DAYS
        first = self._ask(date_from=str(self._start), date_to=str(end - 1))
        total = _abandoned(first)
        if total is None:
            raise UnansweredError(f"the request was refused with {http(first)}")
        exactly = self._ask(date_from=str(self._start), date_to=str(end))
        allowed = "no" if _abandoned(exactly) is None else "yes"
        yield Finding("Are exactly 30 days allowed?", f"{allowed} ({http(exactly)})", _WINDOWS)
        longer = self._ask(date_from=str(self._start), date_to=str(end + _DAY))
        yield Finding("What do more than 30 days get?", _refusal(longer), _WINDOWS)
        wrong = self._ask(rest_key=f"{self._key}-wrong")
        yield Finding("What does a wrong key get?", _refusal(wrong), _KEY)
        yield Finding("What does a missing key get?", _refusal(self._ask(rest_key="")), _KEY)
        alone = self._ask(date_to=str(end))
        yield Finding("What does date_to without date_from get?", _refusal(alone))
        yield Finding("Is the second of date_to counted?", self._edges(end - 1, total), _WINDOWS)
        yield self._client.take_limit_headers()

    def _ask(self, **params: str) -> Answer:
        params = {"rest_key": self._key, **params}
        return self._client.get(
            self._url, {name: text for name, text in params.items() if text}, NoAuth()
        )

    def _count(self, first: int, last: int) -> int:
        count = _abandoned(self._ask(date_from=str(first), date_to=str(last)))
        if count is None:
            raise UnansweredError("the counts were refused")
        return count

    def _edges(self, last: int, total: int) -> str | None:
        """Find the first second to end on that counts a cart, and begin there: is it lost?"""
        if not total:
            return None
        # A window that ends on `none` counts no cart, one that ends on `some` counts `count`.
        none, some, count = self._start - 1, last, total
        try:
            while some - none > 1:
                # The first of n carts lies in the first n-th, more likely than not.
                middle = none + max(1, (some - none) // max(2, count))
                found = self._count(self._start, middle)
                if found:
                    some, count = middle, found
                else:
                    none = middle
            if self._count(some, last) == total:
                return "yes: a window counts both its first and its last second"
            if self._count(some - 1, last) == total:
                return "no: of its first and its last second, a window counts one"
        except OutOfRequestsError:
            return None
        return "no: a window counts neither its first nor its last second"


def _abandoned(answer: Answer) -> int | None:
    body = answer.body if isinstance(answer.body, dict) else {}
    data = body.get("data")
    if body.get("status") != "success" or not isinstance(data, dict):
        return None
    try:
        return int(float(data["abandoned"]))
    except (KeyError, TypeError, ValueError, OverflowError):
        return None


def _refusal(answer: Answer) -> str:
    return f"{http(answer)} and {'a refusal' if _abandoned(answer) is None else 'counts'}"
