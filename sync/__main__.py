"""python -m sync: sync once into your own database. --help shows the options."""

import argparse
import hashlib
import json
import os
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any, NoReturn
from urllib.parse import urlsplit

from rich.console import Console
from rich.markup import escape
from rich.progress import track

from .connector import Connector, SyncError

_err = Console(stderr=True, highlight=False, soft_wrap=True)


def main() -> NoReturn:
    parser = argparse.ArgumentParser(prog="python -m sync", description=__doc__)
    parser.add_argument("--config", type=Path, required=True, help="the connector's settings file")
    to = "duckdb:///PATH, postgresql://USER@HOST/DATABASE, or a dlt destination"
    parser.add_argument("--to", default="duckdb:///data/abandoned_carts.duckdb", help=to)
    parser.add_argument("--streams", default="", help="names separated by commas (default: all)")
    parser.add_argument("--picture", type=Path, help="print tables and draw them into this PNG")
    arguments = parser.parse_args()
    streams = arguments.streams.replace(",", " ").split()
    sys.exit(run(arguments.config, arguments.to, streams, arguments.picture))


def run(config: Path, to: str, streams: Sequence[str] = (), picture: Path | None = None) -> int:
    """Sync once, print a summary, and return the exit code."""
    for number in (signal.SIGTERM, signal.SIGHUP):  # handle like Ctrl-C: remove temporary files
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, signal.default_int_handler)
    try:
        check_options(to, picture)
        with tempfile.TemporaryDirectory() as folder:
            problems = _sync(config, to, streams, picture, Path(folder))
    except KeyboardInterrupt:
        problems = ["Stopped. The next sync resumes from the last saved state."]
    except SyncError as error:
        problems = [str(error)]
    except Exception as error:
        from .errors import describe  # noqa: PLC0415 imports dlt

        problems = [describe(error, to)]
    for problem in problems:
        _err.print(escape(problem), style="red")
    return 1 if problems else 0


def check_options(to: str, picture: Path | None = None) -> None:
    """Raise SyncError if `to` or `picture` is invalid. Its message quotes no password."""
    url = urlsplit(to)
    duckdb = url.scheme == "duckdb" and not url.netloc and url.path.strip("/")
    postgresql = url.scheme in ("postgresql", "postgres") and url.netloc.count("@") < 2
    other = to.isidentifier() and not to.startswith(("duckdb", "postgres"))
    if not (duckdb or postgresql or other):
        raise SyncError(
            "TO must be duckdb:///PATH, postgresql://USER@HOST/DATABASE, or the name of a dlt "
            "destination, such as bigquery. Percent-encode the password: write @ as %40."
        )
    if picture and (picture.suffix.lower() != ".png" or other):
        raise SyncError("PICTURE must end in .png, and TO must be DuckDB or PostgreSQL.")


def _sync(
    config: Path, to: str, chosen: Sequence[str], picture: Path | None, folder: Path
) -> list[str]:
    """Sync with temporary files in `folder`; return the connector's errors."""
    began = time.monotonic()
    settings = hashlib.sha256(config.read_bytes()).hexdigest()[:12]
    connector = Connector(config, folder, _warn)
    os.environ.update(  # dlt and matplotlib read these when they are imported
        DLT_DATA_DIR=str(folder),
        DLT_PROJECT_DIR=str(folder),
        LOAD__TRUNCATE_STAGING_DATASET="true",
        LOAD__WORKERS="1",
        MPLCONFIGDIR=str(folder),
        RUNTIME__DLTHUB_TELEMETRY="false",
        RUNTIME__INTERCEPT_SIGNALS="false",
        RUNTIME__LOG_LEVEL="CRITICAL",
    )
    with ThreadPoolExecutor() as pool:
        discovered = pool.submit(connector.discover)
        from .load import Table, open_database  # noqa: PLC0415 a slow import, in parallel

        streams = discovered.result()
    if unknown := ", ".join(sorted(set(chosen) - set(streams))):
        raise SyncError(f"There is no stream {unknown}. Choose from {', '.join(streams)}.")
    tables = [Table(streams[name]) for name in chosen or streams]
    chosen_streams = [table.stream for table in tables]
    with connector.reading(chosen_streams) as read_from, open_database(to, folder) as database:
        saved = database.saved_states(tables)
        if any(each["settings"] != settings for each in saved):
            _warn("The settings changed. This sync reads everything again and keeps old rows.")
        states = [json.loads(each["state"]) for each in saved if each["settings"] == settings]
        progress: Any = {"console": _err, "transient": True, "disable": not _err.is_terminal}
        read = database.load(track(read_from(states), "Reading", **progress), tables, settings)
        print(f"{'stream':<20}{'records read':>12}{'rows now':>12}")
        for stream, records in read.items():
            ((rows,),) = database.query(f"SELECT COUNT(*) FROM {stream}")
            print(f"{stream:<20}{records:>12,}{rows:>12,}")
        print(f"Finished in {time.monotonic() - began:.1f} seconds", flush=True)
        if picture and not connector.problems:
            from .report import report  # noqa: PLC0415 imports matplotlib

            kind = "duckdb" if to.startswith("duckdb") else "postgresql"
            report(database.query, read, kind, picture)
            print(f"\nPicture: {picture}")
    return connector.problems


@cache  # print each message once: `discover` and `read` may log the same one
def _warn(message: str) -> None:
    _err.print(escape(message), style="yellow")


if __name__ == "__main__":
    main()
