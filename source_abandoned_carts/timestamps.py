"""Convert the dates of the APIs to RFC 3339 in UTC, and compare them as instants."""

import re
from datetime import datetime, timezone
from decimal import Decimal
from typing import Any

import pendulum

# Most dates need no conversion. This pattern finds those from 1970 on, on days that always exist.
_CONVERTED = re.compile(
    r"(?:19[7-9][0-9]|[2-9][0-9]{3})-"
    r"(?:(?:0[1-9]|1[0-2])-(?:0[1-9]|1[0-9]|2[0-8])"
    r"|(?:0[13-9]|1[0-2])-(?:29|30)|(?:0[13578]|1[02])-31)"
    r"T(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](?:\.[0-9]+)?Z"
)
_ISO = re.compile(
    r"(?P<day>[0-9]{4}-[0-9]{2}-[0-9]{2})"
    r"(?:[Tt ](?P<time>(?!24)[0-9]{2}:[0-9]{2}(?::[0-9]{2})?)"  # Python 3.14 would accept hour 24
    r"(?:[.,](?P<fraction>[0-9]+))? ?(?:[Zz]|(?P<hours>[+-][0-9]{2}):?(?P<minutes>[0-9]{2})?)?)?"
)
_UNIX = re.compile(r"(?P<seconds>[0-9]{1,12})(?:\.(?P<fraction>[0-9]+))?")


def is_converted(value: Any) -> bool:
    """Return whether a date needs no conversion. False is possible for a few that need none."""
    return isinstance(value, str) and _CONVERTED.fullmatch(value) is not None


def to_rfc3339(value: Any) -> str | None:
    """Return an API's date as RFC 3339 in UTC ending in Z; None if it is invalid.

    Accepts ISO 8601 with any number of fraction digits, with an offset or without one (then it is
    UTC), and Unix seconds as a number or a text. Fraction digits are kept, so nothing is rounded.
    A date before 1970 gives None too: the API writes "no date" as 0001-01-01.
    """
    if is_converted(value):
        return str(value)
    if isinstance(value, str):
        return _from_text(value.strip())
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        # repr() is the shortest exact text, and `:f` avoids an exponent.
        return _from_text(f"{Decimal(repr(value)):f}".removesuffix(".0"))
    return None


def from_epoch(seconds: int) -> str:
    """Return Unix seconds as RFC 3339 in UTC."""
    return f"{datetime.fromtimestamp(seconds, timezone.utc).isoformat()[:19]}Z"


def to_epoch(rfc3339: str) -> int:
    """Return a date of `to_rfc3339` in Unix seconds, rounded down."""
    return pendulum.from_format(rfc3339[:19], "YYYY-MM-DDTHH:mm:ss").int_timestamp


def sort_key(rfc3339: str) -> str:
    """Return a sort key for a date of `to_rfc3339`, with any number of fraction digits.

    As texts, "00.5Z" would come before "00Z", and "00.50Z" would differ from "00.5Z".
    """
    whole, _, fraction = rfc3339[:-1].partition(".")
    return f"{whole}.{fraction.rstrip('0')}"


def _from_text(text: str) -> str | None:
    if match := _UNIX.fullmatch(text):
        seconds = int(match["seconds"])
    elif match := _ISO.fullmatch(text):
        offset = f"{match['hours'] or '+00'}:{match['minutes'] or '00'}"
        try:
            moment = datetime.fromisoformat(f"{match['day']}T{match['time'] or '00:00'}{offset}")
        except ValueError:  # such as February 31
            return None
        seconds = int(moment.timestamp())
    if not match or not 0 <= seconds < 253_402_300_800:  # the year 10000
        return None
    fraction = f".{match['fraction']}" if match["fraction"] else ""
    return f"{from_epoch(seconds)[:-1]}{fraction}Z"
