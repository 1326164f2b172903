"""Asking, and what is found out."""

import re
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any

import requests
from requests.auth import AuthBase

from source_abandoned_carts import json_text
from source_abandoned_carts.http import USER_AGENT

_MOST_REQUESTS = 40
_TIMEOUT = (10, 60)  # seconds: to connect, between two bytes
_LONGEST_WAIT = 60  # seconds, when a service asks for fewer requests
_ABOUT_LIMITS = re.compile(r"rate-?limit|retry-after|quota|throttle", re.IGNORECASE)
# Of other such headers, the value may be the number of an account.
_SHOWN_LIMITS = re.compile(r".*(limit|remaining|reset|policy|used|after)", re.IGNORECASE)
_PART = r"(?:[a-z]{1,9}=)?[0-9]{1,10}"
_LIMIT = re.compile(rf"{_PART}(?:[;,] ?{_PART})*")

NO_SETTING = "no setting"
CANNOT_TELL = "cannot tell from this account"


@dataclass(frozen=True)
class Question:
    """`find` gives the answer, None where this account cannot tell; `setting`: what it speaks for.

    `find` may raise UnansweredError.
    """

    text: str
    find: Callable[[], str | None]
    setting: str = NO_SETTING


@dataclass(frozen=True)
class Answer:
    """An HTTP status, the body's JSON or json_text.INVALID, and the server's clock in Unix time."""

    status: int
    body: Any
    at: float


class UnansweredError(Exception):
    """No answer came; the text says why, without the address, which may hold a key."""


class RefusedError(UnansweredError):
    """The service would answer no further question either."""


class OutOfRequestsError(UnansweredError):
    """All requests have been made."""


class Client:
    """Asks both services, so often at most and no more."""

    def __init__(self) -> None:
        self.left = _MOST_REQUESTS
        self._limit_headers: dict[str, str] = {}

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
                raise RefusedError("it asks for fewer requests, HTTP 429")
        try:
            at = parsedate_to_datetime(response.headers.get("Date", "")).timestamp()
        except ValueError:
            at = time.time()
        return Answer(response.status_code, json_text.parse(response.content), at)

    def _get(
        self, url: str, params: Mapping[str, str], auth: AuthBase, accept: str | None
    ) -> requests.Response:
        if self.left == 0:
            raise OutOfRequestsError
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
            if _ABOUT_LIMITS.search(name):
                shown = _SHOWN_LIMITS.fullmatch(name) and _LIMIT.fullmatch(value)
                self._limit_headers[name] = value if shown else "(not shown)"
        return response

    def take_limit_headers(self) -> str:
        """Tell of the headers about limits that have come since this was last asked."""
        found = ", ".join(f"{name}: {value}" for name, value in self._limit_headers.items())
        self._limit_headers.clear()
        return found or "none"


def answered(questions: Iterator[Question]) -> Iterator[tuple[Question, str]]:
    """Give each question with its answer. Raises UnansweredError when no more are to be had."""
    unanswered = True  # when the first one fails, there is nothing to build on
    for question in questions:
        try:
            answer = question.find() or CANNOT_TELL
            unanswered = False
        except RefusedError:
            raise
        except OutOfRequestsError:
            answer = f"{CANNOT_TELL}: too few requests were left"
        except UnansweredError as error:
            if unanswered:
                raise  # twice in a row
            unanswered = True
            answer = f"no answer came: {error}"
        yield question, answer


def http(answer: Answer) -> str:
    """Write an answer's HTTP status."""
    return f"HTTP {answer.status}"
