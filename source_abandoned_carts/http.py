"""Send requests to a web API, with timeouts and retries.

This is requests with a retry loop. The CDK's HttpClient ignores Retry-After, sets no timeouts, and
logs a failed request's URL and body, which hold credentials and customers' data.
"""

import logging
import os
import random
import re
import time
from collections.abc import Iterator, Mapping
from importlib.metadata import version
from typing import Any, NamedTuple

import requests
import urllib3
from airbyte_cdk.models import FailureType
from requests.auth import AuthBase

from . import connection_errors, throttle
from .errors import ApiError, config_error
from .responses import Service, http_date, parse

logger = logging.getLogger("airbyte.http")

USER_AGENT = f"source-abandoned-carts/{version('source-abandoned-carts')}"

_MAX_BODY = 64 * 2**20  # bytes after decompression; a page of 500 carts has about 2 million


class RetryPolicy(NamedTuple):
    """Timeouts of one attempt, number of attempts, and longest Retry-After. Times are seconds."""

    connect: float = 10
    read: float = 60  # until the first byte, and between two
    body: float = 600  # until the end of the body, from the start of the attempt
    attempts: int = 6
    max_retry_after: float = 600


class Clock(NamedTuple):
    """Unix seconds when a request was sent (rounded down) and its response came (rounded up).

    With `is_service`, they come from the response's Date header, else from the local clock.
    `monotonic` is when the request was sent, in seconds of the local monotonic clock.
    """

    sent_at: int
    received_at: int
    is_service: bool
    monotonic: float

    def time_of(self, other: "Clock") -> int:
        """Return when another request was sent, by the clock that this response came from."""
        return max(0, int(self.sent_at + other.monotonic - self.monotonic))


class Client(Service):
    """Sends requests to a service. An environment variable can replace its URL."""

    url_variable: str
    default_url: str

    def __init__(
        self,
        secret: str,
        policy: RetryPolicy,
        auth: AuthBase | None = None,
        session: "Session | None" = None,
    ) -> None:
        self.secret = secret
        self._policy = policy
        self._throttle = throttle.Throttle()
        self._base_url = base_url(self.url_variable, self.default_url)
        self._session = session or Session()
        self._session.headers.update({"Accept": "application/json", "User-Agent": USER_AGENT})
        # Otherwise requests reads credentials from ~/.netrc.
        self._session.auth = auth or (lambda request: request)
        # Plain http is for loopback only, and must not go through a proxy.
        self._session.trust_env = self._base_url.startswith("https:")

    def get(
        self, path: str, params: Mapping[str, str], only_rate_limits: bool = False
    ) -> tuple[Any, Clock]:
        """Return the response's JSON and its Clock. Raises ApiError.

        Retries transient errors with backoff, or only HTTP 429 if `only_rate_limits` is set.
        """
        sent = attempts = 0
        answered_at_429: int | None = None  # self._throttle.answered at this request's last 429
        while True:
            while seconds := self._throttle.delay(throttle.now()):
                time.sleep(seconds)
            sent_at = throttle.now()
            sent += 1
            try:
                result = self._send(path, params, sent)
            except ApiError as error:
                is_limited = error.status == 429
                is_transient = error.failure_type == FailureType.transient_error
                if not is_transient:
                    self._throttle.succeed()  # for its rate, 404 is an answer like any other
                if not is_transient or (only_rate_limits and not is_limited):
                    raise
                # While the service answers other requests, this one may wait as long as it takes.
                answered = self._throttle.answered
                others_succeed = is_limited and answered_at_429 not in (None, answered)
                if not others_succeed:
                    attempts += 1
                if attempts == self._policy.attempts:
                    error.message = f"{error.message} {attempts} attempts failed. Try again later."
                    raise
                seconds = self._wait(error, 1 if others_succeed else attempts)
                logger.warning(f"{error.message} Retrying in {seconds:.1f} seconds.")
                if is_limited:
                    answered_at_429 = answered
                    self._throttle.pause(sent_at, throttle.now(), seconds)
                else:
                    time.sleep(seconds)
            else:
                self._throttle.succeed()
                return result

    def _wait(self, error: ApiError, attempt: int) -> float:
        """Return the seconds until the next attempt. Retry-After never shortens the backoff."""
        backoff: float = 2 ** (attempt - 1) * random.uniform(1, 1.25)  # with jitter
        return max(backoff, min(error.wait or 0, self._policy.max_retry_after))

    def describe(self, path: str, params: Mapping[str, str]) -> str:
        """Describe a request for --debug, without credentials and customers' data."""
        return path

    def _send(self, path: str, params: Mapping[str, str], attempt: int) -> tuple[Any, Clock]:
        started = time.monotonic()
        url, timeout = self._base_url + path, (self._policy.connect, self._policy.read)
        status, body = "no response", bytearray()
        try:
            with self._session.get(
                url, params=params, timeout=timeout, allow_redirects=False, stream=True
            ) as response:
                status = str(response.status_code)
                for piece in _pieces(response, started + self._policy.body):
                    body += piece
                    if len(body) > _MAX_BODY:
                        message = f"{self.name} sent a response above 64 MB. {self.if_too_large}"
                        raise ApiError(message, FailureType.system_error)
        except (requests.Timeout, urllib3.exceptions.TimeoutError):
            failure = f"{self.name} did not respond in time."
            raise ApiError(failure, FailureType.transient_error) from None
        except urllib3.exceptions.HTTPError:
            failure = f"{self.name} sent an incomplete or damaged response."
            raise ApiError(failure, FailureType.transient_error) from None
        except OSError as error:  # includes requests' exceptions
            raise connection_errors.explain(self.name, error) from None
        finally:
            duration = time.monotonic() - started
            if logger.isEnabledFor(logging.DEBUG):
                logger.debug(
                    f"{self.name} {self.describe(path, params)}, attempt {attempt}: {status}, "
                    f"{len(body):,} bytes, {duration * 1000:,.0f} ms"
                )
        date = http_date(response.headers.get("Date"))
        now = time.time() if date is None else date
        sent_at = max(0, now - duration)
        clock = Clock(int(sent_at), int(now) + 1, date is not None, started)
        return parse(self, response.status_code, response.headers, body), clock


class Session(requests.Session):
    """Sends single requests, without retries."""

    def get_redirect_target(self, resp: requests.Response) -> None:
        """Return None, so that requests does not read a redirect's body without limits."""


def base_url(variable: str, default: str) -> str:
    """Return the address of a service: `default`, or the value of an environment variable.

    Raises AirbyteTracedException (config_error) unless it is https, or http to loopback. It is not
    a setting, so that someone who can edit a connection cannot redirect its credentials.
    """
    text = os.environ.get(variable) or default
    try:
        # urllib3 also sends the request, so both parse the same host.
        url = urllib3.util.parse_url(text)
    except urllib3.exceptions.LocationParseError:
        url = urllib3.util.Url()
    is_loopback = re.fullmatch(r"localhost|127(\.[0-9]{1,3}){3}|\[::1\]", url.host or "")
    is_safe = url.scheme == "https" or (url.scheme == "http" and is_loopback)
    if not (is_safe and url.host) or url.auth:
        raise config_error(
            f"The environment variable {variable} must be an https URL. Plain http is allowed only "
            "for a loopback address such as http://localhost:8000."
        )
    return url.url.rstrip("/")


def _pieces(response: requests.Response, deadline: float) -> Iterator[bytes]:
    """Yield a body piece by piece to enforce the deadline: a socket's timeout is per piece."""
    while piece := response.raw.read1(2**16, decode_content=True):
        yield piece
        if time.monotonic() > deadline:
            raise requests.Timeout
