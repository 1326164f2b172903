"""What Snipcart's document leaves open."""

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from statistics import median
from typing import Any

from source_abandoned_carts.http import BasicAuth
from source_abandoned_carts.timestamps import sort_key, to_epoch, to_rfc3339

from .client import Answer, Client, Finding, UnansweredError, http

_PAGE_SIZE = "snipcart_page_size"
_FULL_SCANS = "snipcart_full_scan_hours"
_SIZES = (500, 100, 50)
_SAMPLE_PAGES = 3
_HOUR, _DAY = 3_600, 86_400
_RANGES = {  # seconds, and the pages to be read at most
    "LessThanAMonth": (30 * _DAY, 2),
    "LessThanAWeek": (7 * _DAY, 2),
    "LessThanADay": (_DAY, 1),
    "LessThan4Hours": (4 * _HOUR, 1),
}
_TOLERANCE = 0.1  # of a range's length, which the document does not give exactly
_DATES = {"creationDate": "created", "modificationDate": "last changed"}
_FEWEST_DATES = 5  # that tell an order

_ISO = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9]{2}:[0-9]{2}(?::[0-9]{2})?"
    r"(?:[.,](?P<digits>[0-9]+))?(?P<zone>[Zz]|[+-][0-9]{2}:?[0-9]{2})?"
)


@dataclass
class _List:
    """Some pages of a list in their order; `whole` when there were no more."""

    carts: list[dict[str, Any]]
    whole: bool
    at: float


class Snipcart:
    """Finds out about Snipcart's API with a secret key."""

    def __init__(self, client: Client, url: str, key: str) -> None:
        self._client = client
        self._url = f"{url}/carts/abandoned"
        self._key = key
        self._limit = _SIZES[-1]
        self._sample = _List([], True, 0)

    def findings(self) -> Iterator[Finding]:
        """Give what is found out, a question at a time. Raises UnansweredError."""
        first, largest = self._largest_page()
        yield Finding("How many carts are on a page at most?", largest, _PAGE_SIZE)
        self._sample = self._read(_SAMPLE_PAGES, first)
        yield Finding("In which order do the carts come?", self._order(), _FULL_SCANS)
        for field, dates in self._dates().items():
            yield Finding(f"In which forms does {field} come?", _told(dates), "start_date")
        yield Finding("Which date does timeRange look at?", self._range_date(), _FULL_SCANS)
        yield Finding(
            "What does a page give that is asked for without its filters?",
            self._without_filters(),
            "snipcart_minimal_value",
        )
        unknown = self._ask(continuationToken="unknown")
        yield Finding("What does an unknown token get?", _status_and_page(unknown))
        yield Finding(
            "What does a missing Accept header get?", _status_and_page(self._ask(accept=None))
        )
        wrong = self._ask(key=f"{self._key}-wrong")
        yield Finding("What does a wrong key get?", _status_and_page(wrong), "snipcart_api_key")
        unknown = self._ask(timeRange="Unknown")
        yield Finding(
            "What does an unknown timeRange get?", _status_and_page(unknown), "snipcart_time_range"
        )
        none = self._ask(limit="0")
        yield Finding("What does a limit of 0 get?", _status_and_page(none), _PAGE_SIZE)
        yield self._client.take_limit_headers()

    def _ask(
        self, key: str | None = None, accept: str | None = "application/json", **params: str
    ) -> Answer:
        # What is meant where timeRange is left out is not documented.
        params = {"limit": str(self._limit), "timeRange": "Anytime", **params}
        return self._client.get(self._url, params, BasicAuth(key or self._key), accept)

    def _read(self, pages: int, first: Answer | None = None, **params: str) -> _List:
        """Read some pages of a list, from its first one."""
        answer = first or self._ask(**params)
        found = _List(_carts(answer), False, answer.at)
        while (token := _token(answer)) and pages > 1:
            answer = self._ask(**params, continuationToken=token)
            found.carts += _carts(answer)
            pages -= 1
        found.whole = answer.status == 200 and token is None
        return found

    def _largest_page(self) -> tuple[Answer, str | None]:
        """Give the first page that is as large as can be, and how large that is."""
        pages: dict[int, Answer] = {}
        for size in _SIZES:
            answer = pages[size] = self._ask(limit=str(size))
            if answer.status in (401, 403) or answer.status >= 500:
                break
            if len(_carts(answer)) >= size:
                break
        self._limit = max(pages, key=lambda size: (len(_carts(pages[size])), size))
        first = pages[self._limit]
        if first.status != 200:
            raise UnansweredError(f"the request was refused with {http(first)}")
        given = len(_carts(first))
        if _token(first) is None and given < self._limit:
            return first, None  # there are no more carts
        if given >= _SIZES[0]:
            return first, f"{given} or more"
        # A limit that is too large may be refused, or forgotten for that of the service.
        worse = [size for size, page in pages.items() if len(_carts(page)) < given]
        beyond = min((size for size in worse if size > self._limit), default=None)
        return first, f"{given} or more, fewer than {beyond}" if beyond else str(given)

    def _order(self) -> str | None:
        found = []
        for field in _DATES:
            written = [to_rfc3339(cart.get(field)) for cart in self._sample.carts]
            keys = [sort_key(date) for date in written if date]
            if len(set(keys)) < _FEWEST_DATES:
                return None
            if keys == sorted(keys):
                found.append(f"by {field}, the oldest first")
            elif keys == sorted(keys, reverse=True):
                found.append(f"by {field}, the newest first")
        return " or ".join(found) or "in none by date"

    def _dates(self) -> dict[str, Counter[str]]:
        found: dict[str, Counter[str]] = {
            name: Counter() for name in (*_DATES, "completionDate", "items' addedOn",
                                         "items' modificationDate")
        }  # fmt: skip
        for cart in self._sample.carts:
            items = cart.get("items")
            for field, counter in found.items():
                if not field.startswith("items' "):
                    counter[_form(cart, field)] += 1
                    continue
                for item in items if isinstance(items, list) else ():
                    counter[_form(item, field.removeprefix("items' "))] += 1
        return found

    def _range_date(self) -> str | None:
        """Look for carts that one of their dates puts into a range, and the other does not."""
        known = {cart.get("token"): cart for cart in self._sample.carts}
        possible = set(_DATES)
        for name, (seconds, pages) in _RANGES.items():
            found = self._read(pages, timeRange=name)
            listed = {cart.get("token") for cart in found.carts}
            known |= {cart.get("token"): cart for cart in found.carts}
            for cart in known.values():
                for field in _DATES:
                    date = to_rfc3339(cart.get(field))
                    age = None if date is None else (found.at - to_epoch(date)) / seconds
                    if age is None:
                        continue
                    if cart.get("token") in listed:
                        wrong = age > 1 + _TOLERANCE
                    else:
                        wrong = found.whole and age < 1 - _TOLERANCE
                    if wrong:
                        possible.discard(field)
            if len(possible) < len(_DATES):
                break
        if len(possible) == len(_DATES):
            return None
        return " ".join(f"{field}: when a cart was {_DATES[field]}" for field in possible) or (
            "neither creationDate nor modificationDate"
        )

    def _without_filters(self) -> str | None:
        numbers = [total for cart in self._sample.carts if (total := _total(cart)) is not None]
        least = int(median(numbers)) if numbers else 0
        filters = {"limit": "10", "minimalValue": str(least)}
        token = _token(self._ask(**filters)) if any(total < least for total in numbers) else None
        expected = _carts(self._ask(**filters, continuationToken=token)) if token else []
        if token is None or not expected:
            return None
        bare = {"limit": "10", "continuationToken": token}
        answer = self._client.get(self._url, bare, BasicAuth(self._key))
        given = _carts(answer)
        if answer.status != 200:
            return f"{http(answer)}: it is refused"
        if [cart.get("token") for cart in given] == [cart.get("token") for cart in expected]:
            return "the same page: a token stands for its filters, too"
        if any((total := _total(cart)) is not None and total < least for cart in given):
            return "carts that the filters leave out: a token does not stand for its filters"
        return None


def _carts(answer: Answer) -> list[dict[str, Any]]:
    body = answer.body if isinstance(answer.body, dict) else {}
    items = body.get("items") if answer.status == 200 else None
    return [cart for cart in items if isinstance(cart, dict)] if isinstance(items, list) else []


def _token(answer: Answer) -> str | None:
    body = answer.body if isinstance(answer.body, dict) else {}
    token = body.get("continuationToken") if body.get("hasMoreResults") else None
    return None if token is None else str(token)


def _total(cart: dict[str, Any]) -> float | None:
    total = cart.get("total")
    return total if isinstance(total, (int, float)) else None


def _status_and_page(answer: Answer) -> str:
    if answer.status != 200:
        return http(answer)
    body = answer.body if isinstance(answer.body, dict) else {}
    return f"{http(answer)} and {'a page' if 'items' in body else 'no page'}"


def _form(record: Any, field: str) -> str:
    """Tell the form of a date, and not the date."""
    if not isinstance(record, dict) or field not in record:
        return "missing"
    value = record[field]
    if isinstance(value, str):
        return _form_of_text(value)
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return "Unix seconds as a number" if is_number else "null" if value is None else "no date"


def _form_of_text(value: str) -> str:
    if value.startswith("0001-01-01"):
        return "0001-01-01"
    if re.fullmatch(r"[0-9]+(\.[0-9]+)?", value):
        return "Unix seconds as text"
    match = _ISO.fullmatch(value)
    if match is None:
        return "a text of another form"
    zone = match["zone"] or ""
    where = "Z" if zone in ("Z", "z") else "an offset" if zone else "no zone"
    return f"ISO with {len(match['digits'] or '')} digits and {where}"


def _told(forms: Counter[str]) -> str | None:
    return ", ".join(f"{form} ({number})" for form, number in forms.most_common()) or None
