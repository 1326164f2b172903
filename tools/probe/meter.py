"""What both probes share: questions and answers, and the limit on requests."""

import re
from collections.abc import Callable
from typing import Any, NamedTuple

from requests import PreparedRequest, Response

from source_abandoned_carts.http import RetryPolicy, Session


class Answer(NamedTuple):
    """An answer, and what somebody should set or do because of it."""

    text: str
    what_to_do: str


class CannotTellError(Exception):
    """The account has too little data to find an answer."""

    def __init__(self, reason: str, what_to_do: str) -> None:
        super().__init__(reason)
        self.answer = Answer(f"cannot tell: {reason}", what_to_do)


# A function finds the answer. It raises CannotTellError, OutOfRequestsError or ApiError.
Question = tuple[str, Callable[[], Answer]]

POLICY = RetryPolicy(attempts=2, max_retry_after=60)

MAX_REQUESTS = 40  # to both services together
_RATE_LIMIT = re.compile(r"rate-?limit|retry-after|quota|throttle", re.IGNORECASE)
_NUMBERS = re.compile(r"((^|[;,] ?)([a-z]{1,9}=)?[0-9]{1,6})+")  # longer ones may be account IDs


class OutOfRequestsError(Exception):
    """The probe has sent all its requests."""


class Meter(Session):
    """A session that limits requests. It records their URLs and the rate-limit headers."""

    def __init__(self, urls: list[str]) -> None:
        super().__init__()
        self.urls = urls
        self.rate_limits: dict[str, str] = {}

    def send(self, request: PreparedRequest, **options: Any) -> Response:
        """Send a request. Raises OutOfRequestsError."""
        if len(self.urls) == MAX_REQUESTS:
            raise OutOfRequestsError
        self.urls.append(request.url or "")
        response = super().send(request, **options)
        for name, value in response.headers.items():
            if _RATE_LIMIT.search(name):
                self.rate_limits[name] = value if _NUMBERS.fullmatch(value) else "(not shown)"
        return response
