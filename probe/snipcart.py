"""What Snipcart's document leaves open."""

import re
from collections import Counter
from collections.abc import Iterator
from functools import partial
from itertools import pairwise
from typing import Any

from source_abandoned_carts.http import BasicAuth
from source_abandoned_carts.timestamps import to_epoch, to_rfc3339
from source_abandoned_carts.windows import DAY

from .client import Answer, Client, Question, RefusedError, UnansweredError, http

_PAGE_SIZE = "snipcart_page_size"
_FULL_SCANS = "snipcart_full_scan_hours"
_LIMITS = (20, 50, 100, 500)  # from the document's default to the connector's most
_SAMPLE_PAGES = 3
_RANGES = {  # seconds, and the pages to be read at most
    "LessThanAMonth": (30 * DAY, 2),
    "LessThanAWeek": (7 * DAY, 4),
    "LessThanADay": (DAY, 2),
}
# By so much a date must be inside or outside of a range to count: how long a month is, the document
# does not say, and a date without an offset may be a local one.
_PART_OF_A_RANGE, _LARGEST_OFFSET = 0.1, 14 * 3_600
_DATES = ("creationDate", "modificationDate")
_ENOUGH_DATES = 8  # that tell an order: fewer may be so by chance
_ENOUGH_CARTS = 3  # that tell which date a range looks at
_FEW = 10  # carts on a page, for what is asked about filters
_LEFT_OUT = 0.4  # the share of carts that a filter must leave out to be noticed

_ISO = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}(?P<between>[Tt ])[0-9]{2}:[0-9]{2}(?P<second>:[0-9]{2})?"
    r"(?:[.,](?P<digits>[0-9]+))?(?P<zone>[Zz]|[+-][0-9]{2}:?[0-9]{2})?"
)
_MILLISECONDS = 10**11  # what is more is no number of seconds in this age

Cart = dict[str, Any]


class Snipcart:
    """Finds out about Snipcart's API with a secret key."""

    def __init__(self, client: Client, url: str, key: str) -> None:
        self._client = client
        self._url = f"{url}/carts/abandoned"
        self._key = key
        self._limit = _LIMITS[0]
        self._sample: list[Cart] = []

    def questions(self) -> Iterator[Question]:
        """Give the questions, in the order in which they build on one another."""
        yield Question("How many carts are on a page at most?", self._page_size, _PAGE_SIZE)
        yield Question("In which order do the carts come?", self._order, _FULL_SCANS)
        for name in _DATES:
            yield Question(f"In which forms does {name} come?", partial(self._forms, name))
        yield Question(
            "In which forms does completionDate come?", partial(self._forms, "completionDate")
        )
        for name in ("addedOn", "modificationDate"):
            yield Question(
                f"In which forms does {name} of an item come?", partial(self._item_forms, name)
            )
        yield Question("Which date does timeRange look at?", self._range_date, _FULL_SCANS)
        yield Question(
            "What does a page give that is asked for without its filters?",
            self._without_filters,
            "snipcart_minimal_value",
        )
        yield Question(
            "What does an unknown token get?",
            lambda: _told(self._ask(continuationToken="unknown")),
        )
        yield Question(
            "What does a missing Accept header get?", lambda: _told(self._ask(accept=None))
        )
        yield Question(
            "What does a wrong key get?",
            lambda: _told(self._ask(key=f"{self._key}-wrong")),
            "snipcart_api_key",
        )
        yield Question(
            "What does an unknown timeRange get?",
            lambda: _told(self._ask(timeRange="Unknown")),
            "snipcart_time_range",
        )
        yield Question(
            "What does a limit of 0 get?", lambda: _told(self._ask(limit="0")), _PAGE_SIZE
        )

    def _ask(
        self, key: str | None = None, accept: str | None = "application/json", **params: str
    ) -> Answer:
        # What is meant where timeRange is left out is not documented.
        params = {"limit": str(self._limit), "timeRange": "Anytime", **params}
        return self._client.get(self._url, params, BasicAuth(key or self._key), accept)

    def _read(self, pages: int, answer: Answer, **params: str) -> list[Answer]:
        """Read further pages of a list, after its first one."""
        answers = [answer]
        while (token := _token(answers[-1])) and len(answers) < pages:
            answers.append(self._ask(**params, continuationToken=token))
        return answers

    def _page_size(self) -> str | None:
        first = self._ask()
        if first.status != 200:
            raise RefusedError(f"the request was refused with {http(first)}")
        if not _is_page(first):
            raise RefusedError("what came is no list of carts")
        refused = None
        for limit in _LIMITS[1:]:
            if _token(first) is None or refused:
                break
            answer: Answer | None
            try:
                answer = self._ask(limit=str(limit))
            except RefusedError:
                raise
            except UnansweredError:
                answer = None
            if answer and len(_carts(answer)) >= len(_carts(first)):
                first, self._limit = answer, limit
            else:
                refused = limit  # or forgotten for the service's own limit
        answers = self._read(_SAMPLE_PAGES, first)
        self._sample = [cart for answer in answers for cart in _carts(answer)]
        # The last page of a list tells nothing, and another one may be short by chance.
        sizes = Counter(len(_carts(answer)) for answer in answers if _token(answer))
        largest = max(sizes, default=0)
        if not largest:
            return None
        if largest < self._limit:
            return str(largest) if sizes[largest] > 1 else f"{largest} or more"
        return f"{largest} or more" + (f", fewer than {refused}" if refused else "")

    def _order(self) -> str | None:
        ordered, unordered = [], []
        for name in _DATES:
            dates = [date for cart in self._sample if (date := _date(cart, name)) is not None]
            if len(set(dates)) < _ENOUGH_DATES:
                continue
            if all(one <= other for one, other in pairwise(dates)):
                ordered.append(f"by {name}, the oldest first")
            elif all(one >= other for one, other in pairwise(dates)):
                ordered.append(f"by {name}, the newest first")
            else:
                unordered.append(name)
        if not ordered and unordered:
            return f"not in order of {' or '.join(unordered)}"
        return " or ".join(ordered) or None

    def _forms(self, name: str) -> str | None:
        return _listed(Counter(_form(cart, name) for cart in self._sample))

    def _item_forms(self, name: str) -> str | None:
        lists = [cart.get("items") for cart in self._sample]
        items = [item for items in lists if isinstance(items, list) for item in items]
        return _listed(Counter(_form(item, name) for item in items))

    def _range_date(self) -> str | None:
        """Look for carts that one of their two dates puts into a range, and the other does not."""
        known = {cart.get("token"): cart for cart in self._sample}
        right: Counter[str] = Counter()
        for time_range, (seconds, pages) in _RANGES.items():
            first = self._ask(timeRange=time_range)
            answers = self._read(pages, first, timeRange=time_range)
            listed = {cart.get("token"): cart for answer in answers for cart in _carts(answer)}
            known |= listed
            whole = all(map(_is_page, answers)) and _token(answers[-1]) is None
            for token, cart in known.items():
                if token not in listed and not whole:
                    continue
                dates = [_date(cart, name) for name in _DATES]
                inside = [
                    _is_inside(None if date is None else first.at - date, seconds) for date in dates
                ]
                if None not in inside and inside[0] != inside[1]:
                    right[_DATES[inside.index(token in listed)]] += 1
            for name, other in (_DATES, _DATES[::-1]):
                # One cart may have been bought or changed meanwhile.
                if right[name] >= _ENOUGH_CARTS and right[name] > 10 * right[other]:
                    return name
        return None

    def _without_filters(self) -> str | None:
        totals = sorted(total for cart in self._sample if (total := _total(cart)) is not None)
        least = int(totals[len(totals) * 6 // 10]) if totals else 0
        notices = sum(total < least for total in totals) >= max(1, _LEFT_OUT * len(totals))
        filters = {"limit": str(_FEW), "minimalValue": str(least)}
        token = _token(self._ask(**filters)) if notices else None
        if token is None:
            return None
        expected = _carts(self._ask(**filters, continuationToken=token))
        bare = {"limit": str(_FEW), "continuationToken": token}
        answer = self._client.get(self._url, bare, BasicAuth(self._key))
        if answer.status != 200:
            return f"{http(answer)}: it is refused"
        if len(expected) < _FEW or any((_total(cart) or 0) < least for cart in expected):
            return None  # too short, or the filter does nothing
        given = _carts(answer)
        if [cart.get("token") for cart in given] == [cart.get("token") for cart in expected]:
            return "the same page: a token stands for its filters, too"
        if any((total := _total(cart)) is not None and total < least for cart in given):
            return "carts that the filters leave out: a token does not stand for its filters"
        return None


def _is_page(answer: Answer) -> bool:
    body = answer.body if isinstance(answer.body, dict) else {}
    return answer.status == 200 and isinstance(body.get("items"), list)


def _carts(answer: Answer) -> list[Cart]:
    if not _is_page(answer):
        return []
    return [cart for cart in answer.body["items"] if isinstance(cart, dict)]


def _token(answer: Answer) -> str | None:
    body = answer.body if isinstance(answer.body, dict) else {}
    token = body.get("continuationToken") if body.get("hasMoreResults") else None
    return None if token is None else str(token)


def _date(cart: Cart, name: str) -> int | None:
    """Give a date in whole Unix seconds: some forms have no more of it."""
    date = to_rfc3339(cart.get(name))
    return None if date is None else to_epoch(date)


def _is_inside(age: float | None, seconds: int) -> bool | None:
    """Tell whether an age in seconds is surely within a range; None for not so sure."""
    margin = max(_PART_OF_A_RANGE * seconds, _LARGEST_OFFSET)
    return None if age is None or abs(age - seconds) <= margin else age < seconds


def _total(cart: Cart) -> float | None:
    total = cart.get("total")
    return total if isinstance(total, (int, float)) else None


def _told(answer: Answer) -> str:
    if answer.status != 200:
        return http(answer)
    return f"{http(answer)} and {'a page' if _is_page(answer) else 'no page'}"


def _form(record: Any, name: str) -> str:
    """Tell the form of a date, and not the date."""
    if not isinstance(record, dict) or name not in record:
        return "missing"
    value = record[name]
    if isinstance(value, str):
        return _form_of_text(value)
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return f"{'Unix seconds' if value < _MILLISECONDS else 'another number'}, a number"
    return "null" if value is None else "no date"


def _form_of_text(value: str) -> str:
    if value.startswith("0001-01-01"):
        return "0001-01-01"
    if re.fullmatch(r"[0-9]+(\.[0-9]+)?", value):
        return f"{'Unix seconds' if float(value) < _MILLISECONDS else 'another number'}, a text"
    match = _ISO.fullmatch(value)
    if match is None:
        return "a text of another form"
    zone = match["zone"] or ""
    fraction = f".{'s' * len(match['digits'])}" if match["digits"] else ""
    time = f"hh:mm{':ss' if match['second'] else ''}{fraction}"
    return f"YYYY-MM-DD{match['between']}{time}{'Z' if zone in ('Z', 'z') else zone and '+hh:mm'}"


def _listed(forms: Counter[str]) -> str | None:
    return ", ".join(f"{form} ({number})" for form, number in forms.most_common()) or None
