"""What both probes share: the type of a question, and the limit on requests."""

import re
from collections.abc import Callable
from typing import Any

from requests import PreparedRequest, Response
from requests.auth import AuthBase

from source_abandoned_carts.http import RetryPolicy

# A question, the setting that depends on the answer, and a function that finds the answer. It
# returns None if the account has too little data, and raises ApiError or OutOfRequestsError.
Question = tuple[str, str, Callable[[], str | None]]

NO_SETTING = "no setting"
POLICY = RetryPolicy(attempts=2, max_retry_after=60)

_MAX_REQUESTS = 40  # to both services together
_RATE_LIMIT = re.compile(r"rate-?limit|retry-after|quota|throttle", re.IGNORECASE)
_NUMBERS = re.compile(r"((^|[;,] ?)([a-z]{1,9}=)?[0-9]{1,6})+")  # longer ones may be account IDs


class OutOfRequestsError(Exception):
    """The probe has sent all its requests."""


class Meter(AuthBase):
    """An authenticator that limits requests. It records their URLs and the rate-limit headers."""

    def __init__(self, auth: AuthBase | None, urls: list[str]) -> None:
        self.urls = urls
        self.rate_limits: dict[str, str] = {}
        self._auth = auth

    def __call__(self, request: PreparedRequest) -> PreparedRequest:
        if len(self.urls) == _MAX_REQUESTS:
            raise OutOfRequestsError
        self.urls.append(request.url or "")
        request.register_hook("response", self._record_rate_limits)  # type: ignore[no-untyped-call]
        return self._auth(request) if self._auth else request

    def _record_rate_limits(self, response: Response, **options: Any) -> None:
        for name, value in response.headers.items():
            if _RATE_LIMIT.search(name):
                self.rate_limits[name] = value if _NUMBERS.fullmatch(value) else "(not shown)"
