"""What Retargeting's document leaves open."""

import time
from collections.abc import Iterator

from source_abandoned_carts.http import NoAuth
from source_abandoned_carts.windows import DAY

from .client import Answer, Client, Question, RefusedError, UnansweredError, http

_WINDOWS = "retargeting_window_days"
_KEY = "retargeting_rest_key"
_THIRTY_DAYS = 30 * DAY
_BACK = 10 * DAY  # from now: counts of the last days may still change


class Retargeting:
    """Finds out about Retargeting's API with a REST key."""

    def __init__(self, client: Client, url: str, key: str) -> None:
        self._client = client
        self._url = f"{url}/shopping-carts"
        self._key = key
        self._first = int(time.time()) - _BACK - _THIRTY_DAYS
        self._after = self._first + _THIRTY_DAYS
        self._total = 0

    def questions(self) -> Iterator[Question]:
        """Give the questions; the one that may take many requests comes last."""
        yield Question("Are exactly 30 days allowed?", self._exactly, _WINDOWS)
        days = {"date_from": str(self._first), "date_to": str(self._after + DAY)}
        yield Question("What do more than 30 days get?", lambda: _told(self._ask(**days)), _WINDOWS)
        yield Question(
            "What does a wrong key get?",
            lambda: _told(self._ask(rest_key=f"{self._key}-wrong")),
            _KEY,
        )
        yield Question("What does a missing key get?", lambda: _told(self._ask(rest_key="")), _KEY)
        yield Question(
            "What does date_to without date_from get?",
            lambda: _told(self._ask(date_to=str(self._after))),
        )
        yield Question(
            "Is the second of date_to counted, and that of date_from?", self._edges, _WINDOWS
        )

    def _ask(self, **params: str) -> Answer:
        params = {"rest_key": self._key, **params}
        return self._client.get(
            self._url, {name: text for name, text in params.items() if text}, NoAuth()
        )

    def _count(self, first: int, last: int) -> int:
        answer = self._ask(date_from=str(first), date_to=str(last))
        count = _abandoned(answer)
        if count is None:
            raise UnansweredError(f"{_told(answer)} in place of counts")
        return count

    def _exactly(self) -> str | None:
        shorter = self._ask(date_from=str(self._first), date_to=str(self._after - 1))
        total = _abandoned(shorter)
        if total is None:
            raise RefusedError(f"the request got {_told(shorter)}")
        self._total = total
        answer = self._ask(date_from=str(self._first), date_to=str(self._after))
        if _abandoned(answer) is not None:
            return f"yes ({http(answer)})"
        return f"no ({http(answer)})" if _is_refusal(answer) else None

    def _edges(self) -> str | None:
        """Find the first second to end on that counts a cart, and begin there: is it lost?"""
        if not self._total:
            return None
        first, last, total = self._first, self._after - 1, self._total
        # A window that ends on `without` counts no cart, one that ends on `counts` some.
        without, counts, count, misses = first - 1, last, total, 0
        while counts - without > 1:
            # The first of n carts lies in the first n-th, more likely than not, if not in heaps.
            parts = max(2, count) if misses < 2 else 2
            middle = without + max(1, (counts - without) // parts)
            if found := self._count(first, middle):
                counts, count = middle, found
            else:
                without, misses = middle, misses + 1
        if counts == first or self._count(first, last) != total:
            return None  # nothing lies before it, or the counts have changed meanwhile
        if self._count(counts, last) == total:
            # A service that rounds to minutes or days would count it from the next second on, too.
            return "yes, both" if self._count(counts + 1, last) < total else None
        if self._count(counts - 1, last) == total:
            return "no, only one of the two"
        return "no, neither" if self._count(counts - 2, last) == total else None


def _abandoned(answer: Answer) -> int | None:
    body = answer.body if isinstance(answer.body, dict) else {}
    data = body.get("data")
    if body.get("status") != "success" or not isinstance(data, dict):
        return None
    try:
        return int(float(data["abandoned"]))
    except (KeyError, TypeError, ValueError, OverflowError):
        return None


def _is_refusal(answer: Answer) -> bool:
    body = answer.body if isinstance(answer.body, dict) else {}
    return answer.status < 500 and body.get("status") in ("error", "fail")


def _told(answer: Answer) -> str:
    if _abandoned(answer) is not None:
        return f"{http(answer)} and counts"
    return f"{http(answer)} and {'a refusal' if _is_refusal(answer) else 'something else'}"
