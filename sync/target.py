"""Understands TO, and corrects it. Pure. No message quotes a password or a part of one."""

import difflib
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn

from .errors import SyncError

DEFAULT = "duckdb:///data/abandoned_carts.duckdb"

_EXAMPLE_URL = "postgresql://USER@HOST/DATABASE"
_HOST = r"(?:\[[0-9a-f:.]+\]|[^@/?#:,\[\]\s]*)(?::\d*)?"
_POSTGRESQL = re.compile(
    r"postgres(?:ql)?://"
    r"(?:[^@/\s]*@)?"  # user:password@
    rf"{_HOST}(?:,{_HOST})*"
    r"(?:/[^@?\s]*)?(?:\?\S*)?",  # /database?options
    re.IGNORECASE,
)
_SCHEMES = {  # what the first word of an address may mean
    "duckdb": "duckdb",
    "file": "duckdb",
    "postgres": "postgresql",
    "postgresql": "postgresql",
    "psql": "postgresql",
} | {name: name for name in ("bigquery", "databricks", "filesystem", "redshift", "snowflake")}


@dataclass(frozen=True)
class Target:
    """Where the tables are. `kind` is duckdb, postgresql, or the name of a dlt destination.

    `address` is DuckDB's path or PostgreSQL's URL, which may hold a password.
    """

    kind: str
    address: str = field(default="", repr=False)


def parse(to: str) -> Target:
    """Return the target that TO names, or raise SyncError."""
    text = to.strip()
    if match := re.fullmatch(r"duckdb:(/*)(.*)", text, re.IGNORECASE):
        slashes, path = match.groups()
        if len(slashes) >= 3 and path:
            address = "/" * (len(slashes) - 3) + path
            is_at_home = address.startswith("~/")
            return Target("duckdb", str(Path(address).expanduser()) if is_at_home else address)
        raise _suggestion(f"duckdb:///{path}" if path else DEFAULT)
    if _POSTGRESQL.fullmatch(text) and not re.search(r"%(?![0-9a-fA-F]{2})", text):
        return Target("postgresql", re.sub(r"^\w+", "postgresql", text))
    if re.fullmatch(r"[A-Za-z]\w*", text):
        meant = _closest(text)
        if meant in ("duckdb", "postgresql"):
            raise _suggestion(DEFAULT if meant == "duckdb" else _EXAMPLE_URL)
        return Target(text.lower())
    raise _suggestion(_guess(text))


def reject(target: Target) -> NoReturn:
    """Raise the error for an address that PostgreSQL's library does not understand."""
    raise _suggestion(_guess(target.address))


def _guess(text: str) -> str | None:  # noqa: PLR0911 one for each form
    """Return what was probably meant by this text, without a password."""
    scheme, colon, rest = text.removeprefix("jdbc:").partition(":")
    meant = _closest(scheme.partition("+")[0]) if colon else None
    if meant == "duckdb":
        return f"duckdb:///{rest.lstrip('/')}"
    if meant == "postgresql":
        slashes = rest.startswith("/")
        # In "postgres:a:b@host", "postgres" may be the user, and "a" the beginning of the password.
        return _guess_postgresql(rest.lstrip("/")) if slashes or "sql" in scheme else _EXAMPLE_URL
    if meant:
        return meant
    if re.search(r"\b(host|dbname)\s*=", text):
        return _EXAMPLE_URL
    if "@" in text and "://" not in text:
        return _guess_postgresql(text.lstrip("/"))
    if ":" not in text and re.search(r"[/\\]|\.(duckdb|db|ddb)$", text):
        return f"duckdb:///{Path(text).expanduser()}"
    return None


def _guess_postgresql(text: str) -> str:
    """Return the address from user:password@host/database if its other parts are certain."""
    address = re.split(r"\?(?=[a-z_]+=)", text)[0]
    login, _, place = address.rpartition("@")
    user, colon, _ = login.partition(":")
    certain = colon and all(
        re.fullmatch(pattern, part, re.ASCII)
        for pattern, part in ((r"[\w.-]+", user), (r"[\w.-]+(:\d+)?/[\w.-]+", place))
    )
    return f"postgresql://{user}@{place}" if certain else _EXAMPLE_URL


def _closest(scheme: str) -> str | None:
    found = difflib.get_close_matches(scheme.lower(), _SCHEMES, n=1, cutoff=0.75)
    return _SCHEMES[found[0]] if found else None


def _suggestion(guess: str | None) -> SyncError:
    if guess is None:
        return SyncError(
            f"TO must be duckdb:///PATH, {_EXAMPLE_URL}, or the name of a dlt destination, such as "
            "bigquery."
        )
    message = f"TO is not valid. Write TO={guess}"
    if guess.startswith("duckdb:///"):
        message += ", with three slashes before a relative path and four before an absolute one."
    elif guess.startswith("postgresql://"):
        message += (
            ", and set the password in the environment variable PGPASSWORD. In TO, a password "
            "must be percent-encoded: write % as %25, @ as %40, : as %3A, / as %2F and [ as %5B."
        )
    else:
        message += ", and set its credentials as environment variables."
    return SyncError(message)
