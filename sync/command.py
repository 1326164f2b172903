"""What `make sync` does: a sync with its progress, its summary, and sentences for what fails."""

import argparse
import contextlib
import os
import signal
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import NoReturn

import sqlalchemy
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from sqlalchemy.engine import URL

CONNECTOR = Path(__file__).parent.parent / ".venv/bin/source-abandoned-carts"
DATABASE = "duckdb:///data/abandoned_carts.duckdb"

_out = Console(highlight=False)
_err = Console(stderr=True, highlight=False)


def main() -> NoReturn:
    parser = argparse.ArgumentParser(
        prog="python -m sync", description="Sync abandoned carts into a database of your own."
    )
    parser.add_argument("--config", type=Path, required=True, help="the connector's settings file")
    parser.add_argument(
        "--to",
        default=DATABASE,
        metavar="URL",
        help="duckdb:///PATH or postgresql://USER@HOST/DATABASE (default %(default)s)",
    )
    parser.add_argument("--streams", default="", help="separated by commas (default: all)")
    parser.add_argument("--picture", type=Path, help="print tables, and draw them into this PNG")
    arguments = parser.parse_args()
    sys.setrecursionlimit(5_000)  # the connector passes on JSON of up to 1,024 levels
    end_like_ctrl_c()
    streams = arguments.streams.replace(",", " ").split()
    for variable in ("SNIPCART_API_URL", "RETARGETING_API_URL"):
        if os.environ.get(variable):
            _err.print(f"{variable} leads to {os.environ[variable]}", markup=False)
    picture: Path | None = arguments.picture
    try:
        database = parse_database(arguments.to)
        if picture and picture.suffix.lower() != ".png":
            raise ValueError(f"The picture must be a file that ends in .png, not {picture}.")
    except ValueError as error:
        sys.exit(_fail(str(error)))
    try:
        code = run(arguments.config, database, streams)
        if picture and code == 0:
            code = report(database, picture)
    except KeyboardInterrupt:
        code = 130
    sys.exit(code)


def end_like_ctrl_c() -> None:
    """Let other ways to end this process also end the connector, and leave nothing behind."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, signal.default_int_handler)


def parse_database(text: str) -> URL:
    """Read a database's URL; raise ValueError with a sentence, which does not quote passwords.

    A path is as SQLAlchemy has it: relative after three slashes, absolute after four.
    """
    try:
        url = sqlalchemy.make_url(text)
        if url.drivername == "duckdb" and url.database not in (None, "", ":memory:"):
            if not (url.host or url.query):
                return url.set(database=str(Path(str(url.database)).absolute()))
        elif url.drivername in ("postgresql", "postgres") and "@" not in (url.host or ""):
            return url.set(drivername="postgresql+psycopg")
    except (sqlalchemy.exc.ArgumentError, ValueError):  # such as a port that is no number
        pass
    raise ValueError(
        "The database to write TO must be duckdb:///PATH or postgresql://USER@HOST/DATABASE. In a "
        "password, write @ as %40, / as %2F, : as %3A and % as %25."
    )


def run(config: Path, database: URL, streams: list[str] | None = None) -> int:
    """Sync once, tell how it went, and give the exit code."""
    began = time.monotonic()
    if not os.path.isfile(config):  # a Path's raises where one may not look
        return _fail(f"There is no settings file {config}. README.md, “Your own shop”, has one.")
    if not CONNECTOR.exists():
        return _fail(f"The connector is not installed: there is no {CONNECTOR}. Run `make sync`.")
    try:
        with _progress() as watch:
            from .engine import sync  # noqa: PLC0415 takes seconds: say so first

            result = sync(CONNECTOR, config, database, streams or None, watch=watch, warn=_warn)
    except KeyboardInterrupt:
        _fail("Stopped. The next sync goes on from what is written.")
        return 130
    except Exception as error:
        return _fail(_sentence(error))
    table = Table("stream", box=None, pad_edge=False)
    for title in ("records read", "rows now"):
        table.add_column(title, justify="right")
    for stream, read in result.read.items():
        table.add_row(stream, f"{read:,}", f"{result.rows.get(stream, 0):,}")
    _out.print(table)
    seconds = time.monotonic() - began
    _out.print(f"In {seconds:.1f} seconds, into {escape(_name(database))}", soft_wrap=True)
    for problem in result.problems:
        _fail(problem)
    if result.problems and any(result.read.values()):
        _fail("What was read before is written; the next sync goes on from there.")
    return 1 if result.problems else 0


def report(database: URL, picture: Path) -> int:
    """Print tables of what is in a database, draw them, and give the exit code."""
    from .report import draw, query, show  # noqa: PLC0415 takes a second

    engine = sqlalchemy.create_engine(database)
    found = query(engine)
    engine.dispose()
    show(found, _out)
    try:
        picture.parent.mkdir(parents=True, exist_ok=True)
        draw(found, picture)
    except OSError as error:
        return _fail(f"{error.filename} cannot be written: {error.strerror}.")
    _out.print(f"\nThe picture is {escape(str(picture))}", soft_wrap=True)
    return 0


def _name(database: URL) -> str:
    """How a database is named to a person: the path of a file, a URL without passwords."""
    if database.drivername == "duckdb":
        return str(database.database)
    return database.set(drivername=database.get_backend_name(), query={}).render_as_string()


def _fail(sentence: str) -> int:
    _err.print(escape(sentence), style="red", soft_wrap=True)
    return 1


@cache  # each sentence once: the connector is asked for its streams, and then for their records
def _warn(sentence: str) -> None:
    _err.print(escape(sentence), style="yellow", soft_wrap=True)


def _sentence(error: Exception) -> str:
    """What went wrong, without a value: a database's words may quote a cart."""
    from psycopg import Error as PostgresError  # noqa: PLC0415

    from .engine import SyncError  # noqa: PLC0415

    if isinstance(error, SyncError):
        return str(error)
    if isinstance(error, OSError):
        return f"{error.filename or 'A file'} cannot be used: {error.strerror}."
    # PyAirbyte's own error holds the statement and hides SQLAlchemy's.
    found = error if isinstance(error, sqlalchemy.exc.DBAPIError) else error.__context__
    said = found.orig if isinstance(found, sqlalchemy.exc.DBAPIError) else error
    of_a_database = said is not error or isinstance(error, PostgresError)
    if not of_a_database:
        place = traceback.extract_tb(error.__traceback__)[-1]
        return (
            f"The sync stopped at a defect ({type(error).__name__} in {Path(place.filename).name}, "
            f"line {place.lineno}). Please report this."
        )
    # These name the server, a file, a table, a right.
    state = str(getattr(said, "sqlstate", None) or "")
    if isinstance(found, sqlalchemy.exc.OperationalError) or state.startswith(("25", "42", "5")):
        words = str(said).strip().partition("\n")[0]
        advice = next((todo for part, todo in _ADVICE.items() if part in words), "")
        return f"The database cannot be used: {words}{advice}"
    return (
        f"The database refused ({type(said).__name__}). Look into TO, and what this user may do "
        "there; if that is right, please report this."
    )


_ADVICE = {
    "lock": ". Close the program that has it open.",
    "no password supplied": ". Set PGPASSWORD, write the password into ~/.pgpass, or into TO.",
}


@contextlib.contextmanager
def _progress() -> Iterator[Callable[[Counter[str]], None]]:
    """Show how many records were read: all the time on a terminal, else every five seconds."""
    every = 0.2 if _err.is_terminal else 5
    due: float | None = None

    def watch(read: Counter[str]) -> None:
        nonlocal due
        now = time.monotonic()
        if due is None:
            due = now + every
        elif now >= due:
            due = now + every
            say("Reading: " + ", ".join(f"{count:,} {stream}" for stream, count in read.items()))

    with _err.status("") as status:
        say = status.update if _err.is_terminal else _err.print
        say("Starting PyAirbyte")
        yield watch
