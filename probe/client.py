"""Asking, and what is found out."""

import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import requests
from requests.auth import AuthBase

from source_abandoned_carts import json_text
from source_abandoned_carts.http import USER_AGENT

_MOST_REQUESTS = 40
_TIMEOUT = (10, 60)  # seconds: to connect, between two bytes
_LONGEST_WAIT = 60  # seconds, when a service asks for fewer requests
_LIMITS = re.compile(r"rate-?limit|retry-after|quota", re.IGNORECASE)

NO_SETTING = "no setting"
LIMIT_HEADERS = "Which headers tell of a rate limit?"


@dataclass(frozen=True)
class Finding:
    """A question, its answer (None: this account cannot tell), and the setting it speaks for."""

    question: str
    answer: str | None
    setting: str = NO_SETTING


@dataclass(frozen=True)
class Answer:
    """An HTTP status, the body's JSON or json_text.INVALID, and the Unix second it came at."""

    status: int
    body: Any
    at: float


class UnansweredError(Exception):
    """No answer came; the text says why, without the address, which may hold a key."""


class OutOfRequestsError(UnansweredError):
    """All requests have been made."""


class Client:
    """Asks both services, so often at most and no more."""

    def __init__(self) -> None:
        self.left = _MOST_REQUESTS
        self.limit_headers: dict[str, str] = {}

    @property
    def made(self) -> int:
        """The number of requests made."""
        return _MOST_REQUESTS - self.left

    def get(
        self,
        url: str,
        params: Mapping[str, str],
        auth: AuthBase,
        accept: str | None = "application/json",
    ) -> Answer:
        """Ask, and once more when the service could not answer. Raises UnansweredError."""
        response = self._get(url, params, auth, accept)
        if response.status_code == 429 or response.status_code >= 500:
            after = response.headers.get("Retry-After", "")
            time.sleep(min(int(after), _LONGEST_WAIT) if re.fullmatch("[0-9]{1,9}", after) else 2)
            response = self._get(url, params, auth, accept)
            if response.status_code == 429:
                raise UnansweredError("it asks for fewer requests, HTTP 429")
        return Answer(response.status_code, json_text.parse(response.content), time.time())

    def _get(
        self, url: str, params: Mapping[str, str], auth: AuthBase, accept: str | None
    ) -> requests.Response:
        if self.left == 0:
            raise OutOfRequestsError("all requests have been made")
        self.left -= 1
        with requests.Session() as session:
            session.trust_env = url.startswith("https:")  # plain http is for this machine alone
            session.auth = auth
            session.headers["User-Agent"] = USER_AGENT
            del session.headers["Accept"]
            if accept:
                session.headers["Accept"] = accept
            try:
                response = session.get(url, params=params, timeout=_TIMEOUT, allow_redirects=False)
            except requests.RequestException as error:
                raise UnansweredError(type(error).__name__) from None
        for name, value in response.headers.items():
            if _LIMITS.search(name):
                self.limit_headers[name] = value if re.fullmatch("[0-9]{1,9}", value) else "…"
        return response

    def take_limit_headers(self) -> Finding:
        """Tell of the headers about limits that have come since this was last asked."""
        found = ", ".join(f"{name}: {value}" for name, value in self.limit_headers.items())
        self.limit_headers.clear()
        return Finding(LIMIT_HEADERS, found or "none")


def http(answer: Answer) -> str:
    """Write an answer's HTTP status."""
    return f"HTTP {answer.status}"
