"""The questions that the services' documentation does not answer."""

import json
import re
import time
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from itertools import islice
from statistics import median_high
from typing import Any
from urllib.parse import parse_qs, urlsplit

from airbyte_cdk.models import FailureType
from requests.auth import HTTPBasicAuth

from source_abandoned_carts.config import Config
from source_abandoned_carts.http import Client
from source_abandoned_carts.responses import ApiError
from source_abandoned_carts.retargeting import Retargeting
from source_abandoned_carts.snipcart import ANYTIME, TIME_RANGES, Page, Snipcart
from source_abandoned_carts.timestamps import to_epoch, to_rfc3339
from source_abandoned_carts.windows import DAY, Window

from .meter import NO_SETTING, POLICY, Meter, Question

_FULL_SCANS = "snipcart_full_scan_hours"
_DATES = ("creationDate", "modificationDate")
_MIN_CARTS = 10  # fewer may be in order, or have large totals, by chance
_RANGES = {"LessThanAMonth": 2, "LessThanAWeek": 4, "LessThanADay": 2}  # pages to read at most

_WINDOW_DAYS = "retargeting_window_days"
_AGE = 40 * DAY  # of the first second requested, because counts of the last days may still change

Cart = dict[str, Any]


class SnipcartProbe:
    """Answers questions about Snipcart's API through the connector's client."""

    name = Snipcart.name

    def __init__(self, config: Config, urls: list[str]) -> None:
        self._config = config
        self.meter = Meter(HTTPBasicAuth((config.snipcart_api_key or "").encode(), b""), urls)
        self._limit: int | None = None  # the last one that Snipcart accepted
        self._carts: list[Cart] = []
        self._raw_carts: list[Cart] = []  # with the dates as received

    def questions(self) -> Iterator[Question]:
        """Yield the questions. The first one reads the carts that the others examine."""
        question = "How many carts does the service return per page at most?"
        yield question, "snipcart_page_size", self._page_size
        yield "In which order does the service return carts?", _FULL_SCANS, self._order
        for name in (*_DATES, "completionDate", "items.addedOn", "items.modificationDate"):
            question = f"In which formats does the service return {name}?"
            yield question, NO_SETTING, partial(self._formats, name)
        yield "Which date does timeRange filter on?", _FULL_SCANS, self._range_date
        question = "Does a continuation token keep the filters?"
        yield question, "snipcart_minimal_value", self._token_keeps_filters
        question = "What does the service return for an unknown continuation token?"
        yield question, NO_SETTING, self._unknown_token

    def _client(self, page_size: int | None, **filters: str) -> Snipcart:
        client = Snipcart(replace(self._config, page_size=page_size, filters=filters), POLICY)
        Client.__init__(client, client.secret, POLICY, self.meter)  # again, with the meter as auth
        return client

    def _page_size(self) -> str | None:
        """Read pages as the connector does, which doubles its limit while pages are full."""
        client = self._client(None, timeRange=ANYTIME)
        pages = list(islice(client.pages(), 5))  # the limit can reach 500 by then
        self._carts = [cart for page in pages for cart in page.carts]
        limits = [int(parse_qs(urlsplit(url).query)["limit"][0]) for url in self.meter.urls]
        self._limit = limits[-1]
        params = {"limit": str(self._limit), "timeRange": ANYTIME}
        self._raw_carts = client.get("/carts/abandoned", params)[0]["items"]
        largest = max(len(page.carts) for page in pages)
        if largest == self._limit == 500:
            return "500, the connector's greatest limit"
        if self._limit < max(limits):
            return f"{largest}, because limit={max(limits)} failed"
        # A page may be short by chance, and the last page of a list proves nothing.
        sizes = [len(page.carts) for page in pages if page.next_token]
        if sizes.count(largest) > 1 and largest < self._limit:
            return f"{largest}, also for limit={self._limit}"
        return f"at least {largest}" if sizes else None

    def _order(self) -> str | None:
        for name in _DATES:
            dates = [to_epoch(cart[name]) for cart in self._carts if cart.get(name)]
            if len(set(dates)) < _MIN_CARTS:
                return None
            if dates in (sorted(dates), sorted(dates, reverse=True)):
                return f"by {name}, {'oldest' if dates[0] < dates[-1] else 'newest'} first"
        return f"by neither {' nor '.join(_DATES)}"

    def _formats(self, name: str) -> str:
        list_name, _, name = name.rpartition(".")
        records = self._raw_carts
        if list_name:
            lists = [items for cart in records if isinstance(items := cart.get(list_name), list)]
            records = [item for items in lists for item in items if isinstance(item, dict)]
        formats = Counter(_format(record.get(name, "missing")) for record in records)
        return ", ".join(f"{text} ({number})" for text, number in formats.most_common())

    def _range_date(self) -> str | None:
        """Check whether a time range lists carts created before it and modified within it."""
        carts = {cart.get("token"): cart for cart in self._carts}
        votes: Counter[bool] = Counter()
        for time_range, max_pages in _RANGES.items():
            pages = list(islice(self._client(self._limit).pages(time_range=time_range), max_pages))
            listed = {cart.get("token"): cart for page in pages for cart in page.carts}
            carts |= listed
            is_complete, now = pages[-1].next_token is None, pages[0].clock.sent_at
            for token, cart in carts.items():
                if (token in listed or is_complete) and _is_conclusive(cart, time_range, now):
                    votes[token in listed] += 1
            if votes[True] >= 3:
                return "modificationDate"
            # One or two carts may be missing because customers bought them meanwhile.
            if votes[False] >= 3 and not votes[True]:
                return "creationDate"
        return None

    def _token_keeps_filters(self) -> str | None:
        """Request the next page without the filters, and look for carts that they exclude."""
        totals = _totals(self._carts)
        minimal = median_high(totals or [0])
        if bisect_left(totals, minimal) < max(1, 0.4 * len(totals)):
            return None  # the filter would exclude too few carts
        client = self._client(_MIN_CARTS, timeRange=ANYTIME, minimalValue=str(minimal))
        first = next(client.pages())
        if first.next_token is None or min(_totals(first.carts), default=minimal) < minimal:
            return None  # there is no next page, or the filter has no effect
        page = _page(self._client(5 * _MIN_CARTS), first.next_token)
        if isinstance(page, str):
            return f"no, without them the service returns {page}"
        if min(_totals(page.carts), default=minimal) < minimal:
            return "no, without them the next page has carts that they exclude"
        return "yes" if len(page.carts) >= _MIN_CARTS else None

    def _unknown_token(self) -> str:
        page = _page(self._client(self._limit, timeRange=ANYTIME), "unknown")
        return page if isinstance(page, str) else "a page of carts"


class RetargetingProbe(Retargeting):
    """Answers questions about Retargeting's API."""

    def __init__(self, config: Config, urls: list[str]) -> None:
        self.meter = Meter(None, urls)
        Client.__init__(self, config.retargeting_rest_key or "", POLICY, self.meter)
        self._first = int(time.time()) - _AGE

    def questions(self) -> Iterator[Question]:
        """Yield the questions; the one that may take many requests comes last."""
        yield "Does the service accept exactly 30 days?", _WINDOW_DAYS, self._thirty_days
        question = "Does the service count both the second of date_from and that of date_to?"
        yield question, _WINDOW_DAYS, self._edges

    def _thirty_days(self) -> str:
        last = self._first + 30 * DAY
        try:
            self._abandoned(self._first, last)
        except ApiError as error:
            if error.failure_type == FailureType.transient_error:
                raise
            self._abandoned(self._first, last - 1)  # raises an error that has another cause
            return f"no (HTTP {error.status})"
        return "yes"

    def _edges(self) -> str | None:
        """Find the second of the first abandoned cart, and check which windows count it."""
        first = self._first
        for days in (1, 30):  # in a busy shop, one day is enough and takes fewer requests
            last = first + days * DAY - 1
            if total := self._abandoned(first, last):
                break
        else:
            return None
        ends = range(first, last)
        end = first + bisect_left(ends, True, key=lambda end: self._abandoned(first, end) > 0)
        if end == first:
            return None  # the shortest window already counts it
        if self._abandoned(end, last) == total:
            # A service that rounds to minutes or days would also count it one second later.
            return "yes" if self._abandoned(end + 1, last) < total else None
        if self._abandoned(end - 1, last) == total:
            return "no, only one of them"
        return "no, neither" if self._abandoned(end - 2, last) == total else None

    def _abandoned(self, first: int, last: int) -> int:
        return self.counts(Window(first, last)).abandoned


def _page(client: Snipcart, token: str) -> Page | str:
    """Return the page of a token, or the HTTP status of an error response."""
    try:
        return next(client.pages(token))
    except ApiError as error:
        if error.status in (None, 429):
            raise
        return f"HTTP {error.status}"


def _is_conclusive(cart: Cart, time_range: str, now: int) -> bool:
    """Return whether a cart was certainly created before a time range and modified within it."""
    if not all(cart.get(name) for name in _DATES):
        return False
    created, modified = (now - to_epoch(cart[name]) for name in _DATES)
    covered = TIME_RANGES[time_range]
    offset = 14 * 3_600  # a date without an offset may be local time
    # Snipcart's documentation does not specify the length of a month.
    return created > 1.15 * covered + offset and modified < covered - offset


def _totals(carts: list[Cart]) -> list[float]:
    totals = [cart.get("total") for cart in carts]
    return sorted(total for total in totals if isinstance(total, (int, float)))


def _format(value: Any) -> str:
    """Return the format of a date, with # for each digit."""
    if value in (None, "missing") or str(value).startswith("0001-01-01"):
        return str(value or "null")[:10]
    text = re.sub("[0-9]", "#", json.dumps(value))
    if not re.fullmatch('"?[#TZ:.,+ -]{1,40}"?', text, re.IGNORECASE):
        return "another format"
    return text if to_rfc3339(value) else f"{text} (not readable)"
