"""Dates: any form the two APIs may send, turned into RFC 3339 in UTC, and compared as instants.

Snipcart's document shows ISO 8601 with two or three fraction digits; its carts were also seen
with none, with seven, and with Unix seconds as a number or a text.
"""

import re
from datetime import date, datetime, timezone
from decimal import Decimal
from typing import Any

import pendulum

_HOUR_MINUTE = r"(?:[01][0-9]|2[0-3]):[0-5][0-9]"
# As most dates come and are to go out, on a day that every month has.
_PLAIN = re.compile(
    r"[0-9]{4}-(?:0[1-9]|1[0-2])-(?:0[1-9]|1[0-9]|2[0-8])"
    rf"T{_HOUR_MINUTE}:[0-5][0-9](?:\.[0-9]+)?Z"
)
_ISO = re.compile(
    rf"(?P<date>[0-9]{{4}}-[0-9]{{2}}-[0-9]{{2}})(?:[Tt ](?P<minute>{_HOUR_MINUTE})"
    r"(?::(?P<second>[0-5][0-9])(?:[.,](?P<fraction>[0-9]+))?)?"
    r" ?(?:[Zz]|(?P<hours>[+-](?:[01][0-9]|2[0-3]))(?::?(?P<minutes>[0-5][0-9]))?)?)?"
)
_UNIX = re.compile(r"(?P<seconds>[0-9]{1,12})(?:\.(?P<fraction>[0-9]+))?")
_LAST_SECOND = 253_402_300_799  # 9999-12-31T23:59:59Z, the last that RFC 3339 can write


def to_rfc3339(value: Any) -> str | None:
    """Give the instant of an API's date as RFC 3339 in UTC ending in Z.

    Takes ISO 8601 text with any number of fraction digits, with an offset or without one (then
    it is UTC), and Unix seconds as number or text. Fraction digits are kept as they come, so
    nothing is rounded. None for all that cannot be read and for what lies before 1970: the API
    writes "no date" as 0001-01-01.
    """
    if isinstance(value, str):
        if _PLAIN.fullmatch(value):
            return value if value >= "1970" else None
        return _from_text(value.strip())
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return _write(value)
    if isinstance(value, float):
        # The shortest text that means this float, without an exponent: 1579715005.123 stays so.
        return _from_text(f"{Decimal(repr(value)):f}".removesuffix(".0"))
    return None


def from_epoch(seconds: int) -> str:
    """Give Unix seconds as RFC 3339 in UTC."""
    # Without pendulum, as _from_text: it takes 20 µs for a date, of which a cart may have ten.
    return f"{datetime.fromtimestamp(seconds, timezone.utc).isoformat()[:19]}Z"


def to_epoch(rfc3339: str) -> int:
    """Give the Unix second in which an instant written by `to_rfc3339` lies."""
    return pendulum.from_format(rfc3339[:19], "YYYY-MM-DDTHH:mm:ss").int_timestamp


def sort_key(rfc3339: str) -> str:
    """Give a text that orders as the instant does, whatever its number of fraction digits.

    As they stand, "00.5Z" would come before "00Z", and "00.50Z" would differ from "00.5Z".
    """
    whole, _, fraction = rfc3339[:-1].partition(".")
    return f"{whole}.{fraction.rstrip('0')}"


def _from_text(text: str) -> str | None:
    if match := _UNIX.fullmatch(text):
        return _write(int(match["seconds"]), match["fraction"])
    match = _ISO.fullmatch(text)
    if match is None or not _is_day(match["date"]):
        return None
    moment = f"{match['date']}T{match['minute'] or '00:00'}:{match['second'] or '00'}"
    if match["hours"] is None:
        return _with_fraction(moment, match["fraction"]) if moment >= "1970" else None
    parsed = datetime.fromisoformat(f"{moment}{match['hours']}:{match['minutes'] or '00'}")
    return _write(int(parsed.timestamp()), match["fraction"])


def _is_day(text: str) -> bool:
    try:
        date.fromisoformat(text)
    except ValueError:
        return False
    return True


def _write(seconds: int, fraction: str | None = None) -> str | None:
    if not 0 <= seconds <= _LAST_SECOND:
        return None
    return _with_fraction(from_epoch(seconds)[:-1], fraction)


def _with_fraction(moment: str, fraction: str | None) -> str:
    return f"{moment}.{fraction}Z" if fraction else f"{moment}Z"
