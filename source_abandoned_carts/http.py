"""Send requests to a web API, with timeouts and retries.

This is requests with a retry loop, and not the CDK's HttpClient, which adds a second to each wait,
ignores Retry-After, sets no timeouts, and logs the URL and the body of a failed request: here
credentials and customers' data.
"""

import logging
import os
import random
import re
import time
from collections.abc import Mapping
from functools import cached_property
from importlib.metadata import version
from typing import Any, NamedTuple

import requests
import urllib3
from airbyte_cdk.models import FailureType
from requests.auth import AuthBase

from .responses import ApiError, Service, config_error, http_date, parse

logger = logging.getLogger("airbyte.http")

USER_AGENT = f"source-abandoned-carts/{version('source-abandoned-carts')}"

_JITTER = 0.25  # the share that chance adds to a wait, so that parallel requests drift apart
_MAX_BODY = 64 * 2**20  # bytes after decompression; a page of 500 carts has about 2 million
_CHUNK = 2**16  # bytes
_LOOPBACK = re.compile(r"localhost|127(\.[0-9]{1,3}){3}|\[::1\]")


class RetryPolicy(NamedTuple):
    """Timeouts in seconds to connect, between two bytes and for a body; attempts; longest wait."""

    connect: float = 10
    read: float = 60
    body: float = 600
    attempts: int = 6
    max_retry_after: float = 600


class Clock(NamedTuple):
    """When a request was sent and its response received, in whole Unix seconds, rounded outwards.

    By the service's clock if it sent a Date header, else by this machine's; `is_service` tells.
    """

    sent_at: int
    received_at: int
    is_service: bool


class Client(Service):
    """Sends requests to a service, below a URL that an environment variable can replace."""

    url_variable: str
    default_url: str

    def __init__(self, secret: str, policy: RetryPolicy, auth: AuthBase | None = None) -> None:
        self.secret = secret
        self._policy = policy
        self._auth = auth

    def get(
        self, path: str, params: Mapping[str, str], only_rate_limits: bool = False
    ) -> tuple[Any, Clock]:
        """Return the JSON of the response to a request, and when it came. Raises ApiError.

        Other errors than rate limits are retried unless `only_rate_limits` is set.
        """
        attempt = 0
        while True:
            attempt += 1
            try:
                return self._send(path, params)
            except ApiError as error:
                if not error.is_transient or (only_rate_limits and error.status != 429):
                    raise
                if attempt == self._policy.attempts:
                    error.message = f"{error.message} Try again later: {attempt} attempts failed."
                    raise
                seconds = 2 ** (attempt - 1) * random.uniform(1, 1 + _JITTER)
                if error.wait is not None:
                    seconds = min(error.wait, self._policy.max_retry_after)
                logger.info(f"{error.message} Retrying in {seconds:.1f} seconds.")
                time.sleep(seconds)

    def _send(self, path: str, params: Mapping[str, str]) -> tuple[Any, Clock]:
        policy, sent_at, started = self._policy, time.time(), time.monotonic()
        url, timeout = self._base_url + path, (policy.connect, policy.read)
        try:
            with self._session.get(
                url, params=params, timeout=timeout, allow_redirects=False, stream=True
            ) as response:
                body = _read_body(response, started + policy.body)
        except (requests.Timeout, urllib3.exceptions.TimeoutError):
            failure = "did not respond in time"
        except urllib3.exceptions.HTTPError:
            failure = "sent an incomplete, damaged or too large response"
        except OSError as error:  # which requests' own exceptions are
            failure = f"could not be reached{_reason(error)}"
        else:
            clock = Clock(int(sent_at), int(time.time()) + 1, is_service=False)
            date = http_date(response.headers.get("Date"))
            if date is not None:
                elapsed = time.monotonic() - started
                clock = Clock(max(0, int(date - elapsed)), date + 1, is_service=True)
            return parse(self, response.status_code, response.headers, body), clock
        raise ApiError(f"{self.name} {failure}.", FailureType.transient_error)

    @cached_property
    def _base_url(self) -> str:
        return base_url(self.url_variable, self.default_url)

    @cached_property
    def _session(self) -> requests.Session:
        session = _Session()
        session.headers.update({"Accept": "application/json", "User-Agent": USER_AGENT})
        # Without any, requests would look for a login in ~/.netrc.
        session.auth = self._auth or (lambda request: request)
        # Plain http is for loopback: a proxy must not redirect it.
        session.trust_env = self._base_url.startswith("https:")
        return session


class _Session(requests.Session):
    def get_redirect_target(self, resp: requests.Response) -> None:
        """Find no redirect: requests would read the body without limits even to follow none."""


def base_url(variable: str, default: str) -> str:
    """Return the address of a service: `default`, or the value of an environment variable.

    Raises config_error for anything but https, and plain http to a loopback address. The variables
    are not settings, so that someone who can edit a connection cannot redirect its credentials.
    """
    text = os.environ.get(variable) or default
    try:
        # By the parser that sends the request, so that both find the same host.
        url = urllib3.util.parse_url(text)
    except urllib3.exceptions.LocationParseError:
        url = urllib3.util.Url()
    host = url.host or ""
    is_safe = url.scheme == "https" or (url.scheme == "http" and _LOOPBACK.fullmatch(host))
    if not (is_safe and host) or url.auth:
        raise config_error(
            f"The environment variable {variable} must hold an https address, or plain http to a "
            "loopback address such as http://localhost:8000."
        )
    if text != default:
        logger.info(f"Requests go to {url.url}, as the environment variable {variable} says.")
    return url.url.rstrip("/")


def _read_body(response: requests.Response, deadline: float) -> bytes:
    """Read a body in the pieces that arrive, because a socket's timeout is for each piece."""
    body = bytearray()
    while piece := response.raw.read1(_CHUNK, decode_content=True):
        body += piece
        if len(body) > _MAX_BODY:
            raise urllib3.exceptions.HTTPError
        if time.monotonic() > deadline:
            raise requests.Timeout
    return bytes(body)


def _reason(error: BaseException | None) -> str:
    """Return the operating system's reason in brackets, or nothing: other texts quote the URL."""
    while error and not (isinstance(error, OSError) and error.strerror):
        error = error.__context__
    return f" ({error.strerror})" if isinstance(error, OSError) else ""
