"""Asking a web API: time limits, what is tried again, what a person is told when it fails.

This is `requests` in a loop of our own and not the CDK's HttpClient, which adds a second to each
wait, ignores Retry-After, reads bodies without limit, and logs the URL and the whole body of a
failed request: here a key and customers' data. With all that set right, this loop is the rest.
"""

import html
import io
import logging
import os
import random
import re
import socket
import time
from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import timezone
from email.utils import parsedate_to_datetime
from http.client import HTTPResponse
from http.client import responses as reasons
from http.cookiejar import DefaultCookiePolicy
from importlib.metadata import version
from ipaddress import ip_address
from math import floor
from typing import Any

import requests
import urllib3
from airbyte_cdk.models import FailureType
from airbyte_cdk.utils.airbyte_secrets_utils import filter_secrets
from airbyte_cdk.utils.traced_exception import AirbyteTracedException
from requests.auth import AuthBase

from . import json_text
from .redaction import presentable, reveals, shorten

logger = logging.getLogger("airbyte.http")

# urllib3 warns of malformed headers with the whole URL, and the URL may hold a key.
logging.getLogger("urllib3").setLevel(logging.CRITICAL)

USER_AGENT = f"source-abandoned-carts/{version('source-abandoned-carts')}"

_TAG = re.compile(r"""<(?:[^<>"']|"[^"]*"|'[^']*')*>|<[^>]*>""")
# JSON with a flaw, or with something before it.
_DATA = re.compile(r"""[\[{]\s*["'{\[]|["']\s*:""")

_JITTER = 0.25  # the share that chance adds to a wait, so that parallel requests fall out of step
_LARGEST_BODY = 64 * 2**20  # bytes, decompressed; a page of 500 carts has about 2 million
_CHUNK = 2**16
_LONGEST_ANSWER = 10  # times the limit between two bytes; for what http.client reads by itself
_EXPLAINING = 10  # seconds that the body of a refusal may take


class ApiError(AirbyteTracedException):
    """A service could not be asked or its answer cannot be used; the message tells a person why.

    `status` is the HTTP status of the last answer, None where there was none.
    """

    def __init__(
        self,
        message: str,
        failure_type: FailureType = FailureType.system_error,
        status: int | None = None,
    ) -> None:
        super().__init__(internal_message=message, message=message, failure_type=failure_type)
        self.status = status


@dataclass(frozen=True)
class Patience:
    """Time limits in seconds: to connect, between two bytes, for a whole answer; and the tries."""

    connect: float = 10
    read: float = 60
    answer: float = 600
    tries: int = 6
    longest_retry_after: float = 600


@dataclass(frozen=True)
class Answer:
    """What a service answered; `body` is the JSON value, or json_text.INVALID.

    `asked_at` and `answered_at` are Unix seconds, not after the request was made and not before
    it was answered, by the server's own clock, or by this machine's where the server names no time;
    `dated` tells which.
    """

    status: int
    body: Any
    content: bytes = field(repr=False)
    secret: str = field(repr=False)
    asked_at: int
    answered_at: int
    dated: bool
    retry_after: float | None = None

    @property
    def ok(self) -> bool:
        return 200 <= self.status < 300

    @property
    def text(self) -> str:
        """The body as it came; only a refusal is worth the decoding."""
        try:
            return self.content.decode()
        except UnicodeDecodeError:
            return self.content.decode("latin-1")

    @property
    def words(self) -> str:
        """What the service says for itself, fit to be shown: no key, no e-mail addresses."""
        if self.body is not json_text.INVALID:
            said = "; ".join(_sayings(self.body))
        elif self.ok or _DATA.search(shorten(self.text)):
            return ""  # what came in place of carts, or is JSON with a flaw, may well be carts
        else:
            said = self.text
        # Looked at is more than is shown: a key must not be cut in two before it is looked for.
        said = filter_secrets(shorten(said, 4_000))
        for between in (" ", ""):
            plain, secret = _TAG.sub(between, said), _TAG.sub(between, self.secret)
            if reveals(said, self.secret) or reveals(plain, self.secret) or reveals(plain, secret):
                return ""
        return presentable(html.unescape(_TAG.sub(" ", shorten(said))))

    @property
    def told(self) -> str:
        """The HTTP status and the service's words, as part of a sentence."""
        status = f"HTTP {self.status} {reasons.get(self.status, '')}".rstrip()
        return f"{status}: “{words}”" if (words := self.words) else status


@dataclass(frozen=True)
class Problem:
    """Why an answer cannot be used, for a person. Only what is transient is worth another try."""

    message: str
    failure_type: FailureType = FailureType.system_error
    status: int | None = None
    retry_after: float | None = None


class _UnansweredError(Exception):
    """No whole answer came; the text goes behind the service's name."""


class Service:
    """One web API below a base URL; `secret` is what it is asked with, and may repeat in an answer.

    `advice` says what a person is to do about HTTP status 401 and 403. `refusal` knows how this API
    says no in the body of an answer, whatever the status; it is asked before the status is.
    """

    def __init__(
        self,
        name: str,
        base_url: str,
        *,
        auth: AuthBase,
        advice: Mapping[int, str],
        secret: str,
        patience: Patience,
        refusal: Callable[[Answer], Problem | None] | None = None,
    ) -> None:
        self.name = name
        self._base_url = base_url
        self._advice = advice
        self._secret = secret
        self._patience = patience
        self._refusal = refusal
        self._session = _Session()
        self._session.headers.update({"Accept": "application/json", "User-Agent": USER_AGENT})
        self._session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        # Never without an auth of ours: requests would look for a login in ~/.netrc.
        self._session.auth = auth
        # Plain http is for loopback: no proxy may lead it elsewhere.
        self._session.trust_env = base_url.startswith("https:")

    def get(self, path: str, params: Mapping[str, str]) -> Answer:
        """Ask until an answer can be used; raise ApiError when that is not to be."""
        tries = self._patience.tries
        attempt = 0
        while True:
            attempt += 1
            outcome = self._try(path, params)
            if isinstance(outcome, Answer):
                return outcome
            message = outcome.message
            if outcome.failure_type == FailureType.transient_error:
                if attempt < tries:
                    self._wait(attempt, outcome)
                    continue
                message = (
                    f"{message} It was tried {tries} times. Try again later; if it lasts, see "
                    f"whether {self.name} reports an outage."
                )
            raise ApiError(message, outcome.failure_type, outcome.status)

    def _try(self, path: str, params: Mapping[str, str]) -> Answer | Problem:
        try:
            answer = self._ask(path, params)
        except _UnansweredError as failure:
            return Problem(f"{self.name} {failure}.", FailureType.transient_error)
        problem = (self._refusal and self._refusal(answer)) or self._problem(answer)
        if problem is None:
            return answer
        return replace(problem, status=answer.status, retry_after=answer.retry_after)

    def _problem(self, answer: Answer) -> Problem | None:
        """Judge an answer by its HTTP status, and a good one by whether it is JSON."""
        if answer.status in (401, 403):
            return Problem(
                f"{self.name} refused the request ({answer.told}). {self._advice[answer.status]}",
                FailureType.config_error,
            )
        if answer.status in (408, 429) or 500 <= answer.status < 600:
            did = "asks for fewer requests" if answer.status == 429 else "could not answer"
            return Problem(f"{self.name} {did} ({answer.told}).", FailureType.transient_error)
        if 300 <= answer.status < 400:
            return Problem(
                f"{self.name} redirected the request to another address ({answer.told}). Redirects "
                "are not followed, for the key would go along. Please report this to the "
                "connector's maintainers."
            )
        if not answer.ok:
            return Problem(
                f"{self.name} did not accept the request ({answer.told}). Check the "
                "source's settings; if they are right, please report this to the connector's "
                "maintainers."
            )
        if answer.body is json_text.INVALID:
            return Problem(
                f"{self.name} answered with something that is not JSON ({answer.told}).",
                FailureType.transient_error,
            )
        return None

    def _ask(self, path: str, params: Mapping[str, str]) -> Answer:
        patience, sent_at, started = self._patience, time.time(), time.monotonic()
        try:
            with self._session.get(
                self._base_url + path,
                params=params,
                timeout=(patience.connect, patience.read),
                allow_redirects=False,
                stream=True,
            ) as response:
                good = response.status_code < 300
                try:
                    content = _read(response, started + (patience.answer if good else _EXPLAINING))
                except _UnansweredError:
                    if good:
                        raise
                    content = b""  # a refusal counts, though its explanation got lost
        except requests.Timeout:
            raise _UnansweredError("did not answer in time") from None
        except requests.exceptions.SSLError:
            raise _UnansweredError(
                "could not be reached: its certificate was not accepted"
            ) from None
        except (OSError, urllib3.exceptions.HTTPError) as error:  # requests' own are OSErrors
            raise _UnansweredError(f"could not be reached{_reason(error)}") from None
        seconds = time.monotonic() - started
        date = _http_date(response.headers.get("Date"))
        return Answer(
            status=response.status_code,
            body=json_text.parse(content),
            content=content,
            secret=self._secret,
            asked_at=max(0, floor(sent_at if date is None else date - seconds)),
            answered_at=floor(time.time() if date is None else date) + 1,
            dated=date is not None,
            retry_after=_retry_after(response.headers.get("Retry-After"), date),
        )

    def _wait(self, attempt: int, problem: Problem) -> None:
        seconds = 2 ** (attempt - 1) * random.uniform(1, 1 + _JITTER)
        if problem.retry_after is not None:
            seconds = min(problem.retry_after, self._patience.longest_retry_after)
        logger.info(f"{problem.message} Trying again in {seconds:.1f} seconds.")
        time.sleep(seconds)


class _UntilDeadline(io.RawIOBase):
    """The bytes of a connection, as long as the deadline has not passed."""

    def __init__(self, raw: io.RawIOBase, deadline: float) -> None:
        self._raw = raw
        self._deadline = deadline

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        if time.monotonic() > self._deadline:
            raise TimeoutError
        return self._raw.readinto(buffer)

    def close(self) -> None:
        self._raw.close()
        super().close()


class _Response(HTTPResponse):
    """Ends an answer that drips, wherever: a socket's time limit is for a byte, and begins anew."""

    def __init__(self, sock: socket.socket, *args: Any, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        deadline = time.monotonic() + _LONGEST_ANSWER * (sock.gettimeout() or Patience.read)
        self.fp = io.BufferedReader(_UntilDeadline(self.fp.detach(), deadline))


urllib3.connection.HTTPConnection.response_class = _Response


class _Session(requests.Session):
    def get_redirect_target(self, resp: requests.Response) -> None:
        """Know of no redirect: even of one not followed, requests would read body and target."""


class BasicAuth(AuthBase):
    """HTTP Basic with the key as user name and no password; requests' own would write latin-1."""

    def __init__(self, key: str) -> None:
        self._header = "Basic " + b64encode(f"{key}:".encode()).decode()

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = self._header
        return request


class NoAuth(AuthBase):
    """Adds nothing to a request."""

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        return request


def base_url(variable: str, default: str) -> str:
    """Give a service's address: `default`, or that in an environment variable.

    Raises ApiError for what is neither https nor plain http to this machine itself.
    Only who runs the connector can set it; in the settings, an editor could send the keys away.
    """
    text = os.environ.get(variable) or default
    if text == default:
        return default
    try:
        # The parser that the request will go by, so that both see the same host.
        url = urllib3.util.parse_url(text)
    except urllib3.exceptions.LocationParseError:
        url = urllib3.util.Url()
    bare = url.host and not (url.auth or url.query or url.fragment)
    safe = url.scheme == "https" or (url.scheme == "http" and _is_loopback(url.host))
    if bare and safe and re.fullmatch(r"[!-\[\]-~]+", text):
        logger.info(f"{variable} leads to {url.url}.")
        return url.url.rstrip("/")
    message = (
        f"The environment variable {variable} must hold an https address, or plain http to a "
        "loopback address such as http://127.0.0.1:8000, without user name, query or fragment."
    )
    raise ApiError(message, FailureType.config_error)


def _is_loopback(host: str | None) -> bool:
    try:
        return host == "localhost" or ip_address((host or "").strip("[]")).is_loopback
    except ValueError:
        return False


def _read(response: requests.Response, deadline: float) -> bytes:
    """Read a body piece by piece: the time limits of a socket do not end one that drips."""
    content = bytearray()
    if "," in response.headers.get("Content-Encoding", ""):
        raise _UnansweredError("sent its answer packed more than once")  # a bomb in a few bytes
    try:
        while piece := response.raw.read1(_CHUNK, decode_content=True):
            content += piece
            if len(content) > _LARGEST_BODY:
                raise _UnansweredError(f"sent an answer of more than {_LARGEST_BODY >> 20} MB")
            if time.monotonic() > deadline:
                raise _UnansweredError("did not end its answer in time")
    except urllib3.exceptions.TimeoutError:
        raise _UnansweredError("did not end its answer in time") from None
    except (OSError, urllib3.exceptions.HTTPError):
        raise _UnansweredError("broke off its answer, or sent it damaged") from None
    return bytes(content)


def _reason(error: BaseException | None) -> str:
    """Give the operating system's word for a failed connection, in brackets, where there is one.

    The texts of requests and urllib3 are not for showing: they hold the URL.
    """
    while error is not None:
        if isinstance(error, OSError) and error.strerror:
            return f" ({error.strerror})"
        error = error.__cause__ or error.__context__
    return ""


def _http_date(text: str | None) -> int | None:
    """Give an HTTP date in Unix seconds; None for none, or none that a clock may show."""
    try:
        date = parsedate_to_datetime(text or "")
    except (ValueError, TypeError, OverflowError):
        return None
    if date.tzinfo is None:  # an HTTP date is UTC, whatever it says
        date = date.replace(tzinfo=timezone.utc)
    return floor(date.timestamp()) if 1970 < date.year < 9999 else None


def _retry_after(text: str | None, server_time: int | None) -> float | None:
    """Give the seconds that a Retry-After header asks for; None for none, or none to be had."""
    if text is None:
        return None
    if re.fullmatch(r"[0-9]+(\.[0-9]+)?", text.strip()):
        return float(text)
    date = _http_date(text)
    if date is None:
        return None
    seconds = date - (time.time() if server_time is None else server_time)
    return seconds if seconds > 0 else None


_SAYING = {"message", "error", "description", "error_description", "errormessage", "error_message",
           "reason", "title", "detail"}  # fmt: skip
_SAYING_BY_FIELD = {"errors", "validator"}


def _sayings(body: Any) -> Iterator[str]:
    """Find the texts by which a JSON body explains itself, and no others: the rest may be data."""
    if isinstance(body, str):
        yield body
    elif isinstance(body, list):
        for item in body[:10]:
            yield from _sayings(item)
    elif isinstance(body, dict):
        for key, value in body.items():
            if key.lower() in _SAYING or (key == "data" and isinstance(value, (str, dict))):
                yield from _sayings(value)
            elif key.lower() in _SAYING_BY_FIELD and isinstance(value, dict):
                for texts in value.values():
                    yield from (text for text in _listed(texts) if isinstance(text, str))
            elif key.lower() in _SAYING_BY_FIELD:
                yield from _sayings(value)


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]
