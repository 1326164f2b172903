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

from source_abandoned_carts.config import Config
from source_abandoned_carts.errors import ApiError
from source_abandoned_carts.issues import REPORT
from source_abandoned_carts.retargeting import Retargeting
from source_abandoned_carts.snipcart import ANYTIME, TIME_RANGES, Page, Snipcart
from source_abandoned_carts.timestamps import to_epoch, to_rfc3339
from source_abandoned_carts.windows import DAY, Window

from .meter import POLICY, Answer, CannotTellError, Meter, Question

_DATES = ("creationDate", "modificationDate")
_MIN_CARTS = 10  # fewer may be in order, or have large totals, by chance
_RANGES = {"LessThanAMonth": 2, "LessThanAWeek": 4, "LessThanADay": 2}  # pages to read at most

_TRY_AGAIN = "Nothing. Run make probe again on another day."
_NOT_READABLE = "not readable"
_AGE = 40 * DAY  # of the first second requested, because counts of the last days may still change

Document = dict[str, Any]


class SnipcartProbe:
    """Answers questions about Snipcart's API through the connector's client."""

    name = Snipcart.name

    def __init__(self, config: Config, urls: list[str]) -> None:
        self._config = config
        self.meter = Meter(urls)
        self._limit: int | None = None  # the last one that Snipcart accepted
        self._carts: list[Document] = []
        self._raw_carts: list[Document] = []  # with the dates as received

    def questions(self) -> Iterator[Question]:
        """Yield the questions. The first one reads the carts that the others examine."""
        yield "How many carts does Snipcart return per page?", self._page_size
        yield "In which order does Snipcart return carts?", self._order
        for name in (*_DATES, "completionDate", "items.addedOn", "items.modificationDate"):
            question = f"In which formats does Snipcart return {name}?"
            yield question, partial(self._formats, name)
        yield "Which date does timeRange filter on?", self._range_date
        yield "Does a continuation token keep the filters?", self._token_keeps_filters
        question = "What does Snipcart return for an unknown continuation token?"
        yield question, self._unknown_token

    def _client(self, page_size: int | None, **filters: str) -> Snipcart:
        config = replace(self._config, page_size=page_size, filters=filters)
        return Snipcart(config, POLICY, self.meter)

    def _page_size(self) -> Answer:
        """Read pages as the connector does, which doubles its limit while pages are full."""
        client = self._client(None, timeRange=ANYTIME)
        pages = list(islice(client.pages(), 5))  # the limit can reach 500 by then
        self._carts = [cart for page in pages for cart in page.carts]
        limits = [int(parse_qs(urlsplit(url).query)["limit"][0]) for url in self.meter.urls]
        self._limit = limits[-1]
        params = {"limit": str(self._limit), "timeRange": ANYTIME}
        self._raw_carts = client.get("/carts/abandoned", params)[0]["items"]
        largest = max(len(page.carts) for page in pages)
        adapts = "Nothing: the connector adapts its page size."
        if largest == self._limit == 500:
            return Answer("500 or more", "Nothing: the connector requests 500 at most.")
        if self._limit < max(limits):
            return Answer(
                f"at most {self._limit}: a request for {max(limits)} failed",
                f"Set snipcart_page_size to {self._limit}. This saves a request in each sync.",
            )
        # A page may be short by chance, and the last page of a list proves nothing.
        sizes = [len(page.carts) for page in pages if page.next_token]
        if sizes.count(largest) > 1 and largest < self._limit:
            return Answer(f"at most {largest}, also if {self._limit} are requested", adapts)
        if not sizes:
            raise CannotTellError("all carts fit on one page", adapts)
        return Answer(f"at least {largest}", adapts)

    def _order(self) -> Answer:
        what_to_do = "Nothing: the connector relies on no order."
        for name in _DATES:
            dates = [to_epoch(cart[name]) for cart in self._carts if cart.get(name)]
            if len(set(dates)) < _MIN_CARTS:
                reason = f"fewer than {_MIN_CARTS} carts differ in their {name}"
                raise CannotTellError(reason, what_to_do)
            if dates in (sorted(dates), sorted(dates, reverse=True)):
                first = "oldest" if dates[0] < dates[-1] else "newest"
                return Answer(f"by {name}, {first} first", what_to_do)
        return Answer(f"by neither {' nor '.join(_DATES)}", what_to_do)

    def _formats(self, name: str) -> Answer:
        list_name, _, name = name.rpartition(".")
        records = self._raw_carts
        if list_name:
            lists = [items for cart in records if isinstance(items := cart.get(list_name), list)]
            records = [item for items in lists for item in items if isinstance(item, dict)]
        formats = Counter(_format(record.get(name, "missing")) for record in records)
        if not formats:
            raise CannotTellError(f"there are no {list_name or 'carts'}", "Nothing.")
        if any(_NOT_READABLE in text for text in formats):
            what_to_do = f"The connector emits null for a date that is {_NOT_READABLE}. {REPORT}"
        else:
            what_to_do = "Nothing: the connector reads each of them."
        texts = (f"{text} ({number})" for text, number in formats.most_common())
        return Answer(", ".join(texts), what_to_do)

    def _range_date(self) -> Answer:
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
                return Answer(
                    "modificationDate",
                    "Set snipcart_full_scan_hours to 24 for hourly syncs, or to 160 for daily "
                    "syncs. Most syncs then request only recent carts, and miss no change.",
                )
            # One or two carts may be missing because customers bought them meanwhile.
            if votes[False] >= 3 and not votes[True]:
                return Answer(
                    "creationDate",
                    "Leave snipcart_full_scan_hours at 0. Otherwise changes of old carts wait for "
                    "the next full scan.",
                )
        raise CannotTellError(
            "too few carts were created before a time range and changed within it",
            "Leave snipcart_full_scan_hours at 0, and run make probe again in some weeks.",
        )

    def _token_keeps_filters(self) -> Answer:
        """Request the next page without the filters, and look for carts that they exclude."""
        what_to_do = "Nothing: the connector sends the filters with each page."
        totals = _totals(self._carts)
        minimal = median_high(totals or [0])
        if bisect_left(totals, minimal) < max(1, 0.4 * len(totals)):
            raise CannotTellError("too few carts differ in their total", what_to_do)
        client = self._client(_MIN_CARTS, timeRange=ANYTIME, minimalValue=str(minimal))
        first = next(client.pages())
        if min(_totals(first.carts), default=minimal) < minimal:
            reason = "snipcart_minimal_value has no effect"
            raise CannotTellError(reason, f"Use no filters. {REPORT}")
        if first.next_token is None:
            raise CannotTellError("there is no second page with filters", what_to_do)
        page = _page(self._client(5 * _MIN_CARTS), first.next_token)
        if isinstance(page, str):
            return Answer(f"no: without them Snipcart returns {page}", what_to_do)
        if min(_totals(page.carts), default=minimal) < minimal:
            reason = "without them the next page has carts that they exclude"
            return Answer(f"no: {reason}", what_to_do)
        if len(page.carts) < _MIN_CARTS:
            raise CannotTellError("the second page with filters has too few carts", what_to_do)
        return Answer("yes", what_to_do)

    def _unknown_token(self) -> Answer:
        page = _page(self._client(self._limit, timeRange=ANYTIME), "unknown")
        if isinstance(page, str):
            return Answer(page, "Nothing: a sync with an expired token starts a new scan.")
        return Answer("a page of carts", "Nothing: a sync with an expired token reads from there.")


class RetargetingProbe(Retargeting):
    """Answers questions about Retargeting's API."""

    def __init__(self, config: Config, urls: list[str]) -> None:
        self.meter = Meter(urls)
        super().__init__(config, POLICY, self.meter)
        self._first = int(time.time()) - _AGE

    def questions(self) -> Iterator[Question]:
        """Yield the questions; the one that may take many requests comes last."""
        yield "Does Retargeting accept exactly 30 days?", self._thirty_days
        question = "Does Retargeting count the seconds of both date_from and date_to?"
        yield question, self._edges

    def _thirty_days(self) -> Answer:
        last = self._first + 30 * DAY
        try:
            self._abandoned(self._first, last)
        except ApiError as error:
            if error.failure_type == FailureType.transient_error:
                raise
            self._abandoned(self._first, last - 1)  # raises an error that has another cause
            return Answer(
                f"no (HTTP {error.status}), but it accepts one second less",
                "Nothing: the connector's windows of 30 days are one second shorter.",
            )
        return Answer("yes", "Nothing: retargeting_window_days can be 30.")

    def _edges(self) -> Answer:
        """Find the second of the first abandoned cart, and check which windows count it."""
        first = self._first
        for days in (1, 30):  # in a busy shop, one day is enough and takes fewer requests
            last = first + days * DAY - 1
            if total := self._abandoned(first, last):
                break
        else:
            raise CannotTellError("no cart was abandoned in the 30 days examined", _TRY_AGAIN)
        ends = range(first, last)
        end = first + bisect_left(ends, True, key=lambda end: self._abandoned(first, end) > 0)
        if end == first:
            raise CannotTellError("the shortest window already counts a cart", _TRY_AGAIN)
        if self._abandoned(end, last) == total:
            # A service that rounds to minutes or days would also count it one second later.
            if self._abandoned(end + 1, last) == total:
                raise CannotTellError("Retargeting rounds the times, or counts changed", _TRY_AGAIN)
            return Answer("yes", "Nothing: each second is counted once.")
        keep = "lost in each window. Keep retargeting_window_days at 30."
        if self._abandoned(end - 1, last) == total:
            return Answer("only one of them", f"One second is {keep}")
        if self._abandoned(end - 2, last) == total:
            return Answer("neither", f"Two seconds are {keep}")
        raise CannotTellError("the counts changed meanwhile", _TRY_AGAIN)

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


def _is_conclusive(cart: Document, time_range: str, now: int) -> bool:
    """Return whether a cart was certainly created before a time range and modified within it."""
    if not all(cart.get(name) for name in _DATES):
        return False
    created, modified = (now - to_epoch(cart[name]) for name in _DATES)
    covered = TIME_RANGES[time_range]
    offset = 14 * 3_600  # a date without an offset may be local time
    # Snipcart's documentation does not specify the length of a month.
    return created > 1.15 * covered + offset and modified < covered - offset


def _totals(carts: list[Document]) -> list[float]:
    totals = [cart.get("total") for cart in carts]
    return sorted(total for total in totals if isinstance(total, (int, float)))


def _format(value: Any) -> str:
    """Return the format of a date, with # for each digit."""
    if value in (None, "missing") or str(value).startswith("0001-01-01"):
        return str(value or "null")[:10]
    text = re.sub("[0-9]", "#", json.dumps(value))
    if not re.fullmatch('"?[#TZ:.,+ -]{1,40}"?', text, re.IGNORECASE):
        return f"text that is {_NOT_READABLE}"
    return text if to_rfc3339(value) else f"{text} {_NOT_READABLE}"
