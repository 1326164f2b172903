"""Judge a response: JSON that the connector can use, or an ApiError that tells a person why not.

Pure: status, headers and body come in, and nothing is sent. Sources: RFC 9110 for statuses, Date
and Retry-After; the documents of the two services for the fields of a JSON error.
"""

import re
import time
from collections.abc import Mapping
from datetime import timezone
from email.utils import parsedate_to_datetime
from http.client import responses as reason_phrases
from typing import Any, NamedTuple

from airbyte_cdk.models import FailureType
from airbyte_cdk.utils.traced_exception import AirbyteTracedException

from . import json_text
from .redaction import presentable

REPORT = "Report this to the connector's maintainers."


class ApiError(AirbyteTracedException):
    """A request failed. `message` tells a person what happened, why, and what to do.

    `status` is the HTTP status, None without a response; `retry_after` the number of seconds that
    the service asks to wait, None if it does not. Only what `is_transient` is worth a retry.
    """

    def __init__(
        self,
        message: str,
        failure_type: FailureType = FailureType.system_error,
        status: int | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(internal_message=message, message=message, failure_type=failure_type)
        self.status = status
        self.retry_after = retry_after
        self.is_transient = failure_type == FailureType.transient_error


class Verdict(NamedTuple):
    """Why a response cannot be used, as parts of a sentence for a person."""

    what_happened: str
    failure_type: FailureType
    what_to_do: str = ""


class Service:
    """A web API: its name, its credential, and what to do about HTTP status 401 and 403."""

    name: str
    advice: Mapping[int, str]
    secret: str

    def judge_body(self, status: int, content: Any) -> Verdict | None:
        """Return what the JSON of a body says against it, whatever the status; None for nothing."""
        return None


def parse(service: Service, status: int, headers: Mapping[str, str], body: bytes) -> Any:
    """Return the JSON of a response that can be used; raise ApiError for any other."""
    content, verdict = None, None
    try:
        content = json_text.parse(body)
    except ValueError:
        if 200 <= status < 300:
            verdict = Verdict("sent a response that is not JSON", FailureType.transient_error)
    else:
        verdict = service.judge_body(status, content)
    verdict = verdict or _judge_status(status, service.advice)
    if verdict is None:
        return content
    reason = f"HTTP {status} {reason_phrases.get(status, '')}".rstrip()
    if summary := presentable("; ".join(error_texts(content)), service.secret):
        reason = f"{reason}: “{summary}”"
    message = f"{service.name} {verdict.what_happened} ({reason}). {verdict.what_to_do}".rstrip()
    raise ApiError(message, verdict.failure_type, status, retry_after(headers))


def _judge_status(status: int, advice: Mapping[int, str]) -> Verdict | None:
    if 200 <= status < 300:
        return None
    if status in (401, 403):
        return Verdict("refused the request", FailureType.config_error, advice[status])
    if status == 429:
        return Verdict("is limiting requests", FailureType.transient_error)
    if status == 408 or 500 <= status < 600:
        return Verdict("could not answer", FailureType.transient_error)
    if 300 <= status < 400:
        # To follow one could send the credential to another server.
        return Verdict("redirected the request", FailureType.system_error, REPORT)
    what_to_do = f"Check the settings of the source. If they are right: {REPORT}"
    return Verdict("did not accept the request", FailureType.system_error, what_to_do)


def error_texts(content: Any) -> list[str]:
    """Return the service's explanation: the texts in the documented fields of a JSON error.

    Other fields are left alone, because they may hold customers' data.
    """
    content = content if isinstance(content, dict) else {}
    data = content.get("data")
    texts = [content.get("message"), content.get("error"), data]
    for errors in (
        content.get("errors"),
        data.get("validator") if isinstance(data, dict) else None,
    ):
        # A list, or texts by the name of a parameter, such as {"limit": ["It is too large."]}.
        for value in errors.values() if isinstance(errors, dict) else [errors]:
            items = value if isinstance(value, list) else [value]
            texts += [item.get("message") if isinstance(item, dict) else item for item in items]
    return [text for text in texts if isinstance(text, str)]


def http_date(text: str | None) -> int | None:
    """Return an HTTP date in Unix seconds; None if it is missing or not a plausible time."""
    try:
        date = parsedate_to_datetime(text or "").replace(tzinfo=timezone.utc)
    except (ValueError, TypeError, OverflowError):
        return None
    return int(date.timestamp()) if 1970 < date.year < 9999 else None


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Return the seconds that a Retry-After header asks to wait; None if it asks for no wait.

    A date in it is compared with the Date header, which was written by the same clock.
    """
    text = headers.get("Retry-After", "").strip()
    if re.fullmatch(r"[0-9]+(\.[0-9]+)?", text):
        return float(text)
    until = http_date(text)
    if until is None:
        return None
    seconds = until - (http_date(headers.get("Date")) or time.time())
    return seconds if seconds > 0 else None
