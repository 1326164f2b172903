"""Turn a response into JSON, or into an ApiError that explains what is wrong.

Nothing is sent, and nothing but the clock is read. Sources: RFC 9110 for statuses, Date and
Retry-After; the documentation of the two services for the fields of a JSON error.
"""

import re
import time
from collections.abc import Mapping
from datetime import timezone
from email.utils import parsedate_to_datetime
from http.client import responses as reason_phrases
from typing import Any

from airbyte_cdk.models import FailureType

from . import json_text
from .errors import ApiError
from .issues import REPORT
from .redaction import error_summary

_Failure = tuple[str, FailureType, str]
"""What happened, the failure type, and what to do."""


class Service:
    """A web API: its name, its credential, and what to do about HTTP status 401 and 403.

    `if_too_large` says what to do about a response that is too large.
    """

    name: str
    advice: Mapping[int, str]
    if_too_large = REPORT
    secret: str

    def effective_status(self, status: int, content: Any) -> int:
        """Return the HTTP status that a response stands for. `content` is the JSON of its body."""
        return status


def parse(
    service: Service, status: int, headers: Mapping[str, str], body: bytes | bytearray
) -> Any:
    """Return the response's JSON. Raise ApiError if it is not JSON or reports an error."""
    content: Any = None
    unreadable: _Failure | None = None
    try:
        content = json_text.parse(body)
    except json_text.TooDeepError:
        unreadable = ("sent JSON that is nested too deeply", FailureType.system_error, REPORT)
    except ValueError:
        unreadable = ("sent a response that is not JSON", FailureType.transient_error, "")
    if unreadable is None:
        failure = _failure(service.effective_status(status, content), service.advice)
    else:
        failure = _failure(status, service.advice) or unreadable
    if failure is None:
        return content
    what_happened, failure_type, what_to_do = failure
    reason = f"HTTP {status} {reason_phrases.get(status, '')}".rstrip()
    if summary := error_summary("; ".join(error_texts(content)), service.secret):
        reason = f"{reason}: “{summary}”"
    message = f"{service.name} {what_happened} ({reason}). {what_to_do}".rstrip()
    raise ApiError(message, failure_type, status, retry_after(headers))


def _failure(status: int, advice: Mapping[int, str]) -> _Failure | None:
    """Return how a request with this status failed; None for success."""
    if 200 <= status < 300:
        return None
    if status in (401, 403):
        return "refused the request", FailureType.config_error, advice[status]
    if status == 429:
        return "limits the rate of requests", FailureType.transient_error, ""
    if status == 408 or 500 <= status < 600:
        return "failed to process the request", FailureType.transient_error, ""
    if 300 <= status < 400:
        # Following it could send the credential to another server.
        return "redirected the request", FailureType.system_error, f"Check the proxy. {REPORT}"
    what_to_do = f"Check the settings of the source. {REPORT}"
    return "did not accept the request", FailureType.system_error, what_to_do


def error_texts(content: Any) -> list[str]:
    """Return the texts in a JSON error's documented fields; others may hold customers' data."""
    content = content if isinstance(content, dict) else {}
    data = content.get("data")
    texts = [content.get("message"), content.get("error"), data]
    validator = data.get("validator") if isinstance(data, dict) else None
    for errors in (content.get("errors"), validator):
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
    """Return the seconds in a Retry-After header; None without a usable one."""
    text = headers.get("Retry-After", "").strip()
    if re.fullmatch(r"[0-9]+(\.[0-9]+)?", text):
        return float(text)
    if (until := http_date(text)) is None:
        return None
    # Prefer the Date header, which comes from the same clock.
    seconds = until - (http_date(headers.get("Date")) or time.time())
    return seconds if seconds > 0 else None
