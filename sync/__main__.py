"""python -m sync: sync once into your own database. --help shows the options."""

if __name__ == "__main__":
    from . import stop

    stop.handle_signals()  # before the slow imports

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timezone
from functools import cache
from pathlib import Path
from typing import Any, NoReturn

from rich.console import Console
from rich.markup import escape
from rich.progress import track

from . import stop
from .connector import Connector
from .errors import SyncError, describe, during
from .settings import fingerprints
from .target import DEFAULT, Target, parse

_err = Console(stderr=True, highlight=False, soft_wrap=True)

_SERVICES = {
    "abandoned_carts": "Snipcart",
    "departed_carts": "Snipcart",
    "cart_stats": "Retargeting",
}
_SETTINGS = {  # what turns each stream on
    "abandoned_carts": "snipcart_api_key",
    "departed_carts": "snipcart_departed_carts to true",
    "cart_stats": "retargeting_rest_key",
}


def main() -> NoReturn:
    for output in (sys.stdout, sys.stderr):
        output.reconfigure(encoding="utf-8", errors="backslashreplace")  # type: ignore[union-attr]
    parser = argparse.ArgumentParser(prog="python -m sync", description=__doc__)
    parser.add_argument("--config", type=Path, required=True, help="the connector's settings file")
    to = "duckdb:///PATH, postgresql://USER@HOST/DATABASE, or a dlt destination"
    parser.add_argument("--to", default=DEFAULT, help=to)
    parser.add_argument("--streams", default="", help="names separated by commas (default: all)")
    parser.add_argument("--picture", type=Path, help="print tables and draw them into this PNG")
    arguments = parser.parse_args()
    streams = arguments.streams.replace(",", " ").split()
    code = run(arguments.config, arguments.to, streams, arguments.picture)
    os._exit(code)  # Python would spend a tenth of a second on removing modules


def run(
    config: Path,
    to: str,
    streams: Sequence[str] = (),
    picture: Path | None = None,
    **caption: Any,
) -> int:
    """Sync once, print a summary, and return the exit code.

    `caption` may have the `read_at` and the `note` of the picture: see report.py.
    """
    try:
        target = parse(to)
        if picture:
            _check_picture(picture, target)
        with tempfile.TemporaryDirectory() as name, stop.removing(Path(name)):
            drawing = {"path": picture, **caption} if picture else {}
            problems = _sync(config, target, streams, Path(name), drawing)
    except SyncError as error:
        problems = [str(error)]
    except Exception as error:
        problems = [describe(error)]
    for problem in problems:
        _warn(problem, style="red")
    return 1 if problems else 0


def _check_picture(picture: Path, target: Target) -> None:
    """Raise SyncError if the picture cannot be drawn, which would be found after the sync."""
    if picture.suffix.lower() != ".png" or target.kind not in ("duckdb", "postgresql"):
        raise SyncError("PICTURE must end in .png, and TO must be DuckDB or PostgreSQL.")
    is_new = not picture.exists()
    try:
        picture.parent.mkdir(parents=True, exist_ok=True)
        picture.open("ab").close()
        if is_new:
            picture.unlink()
    except OSError as error:
        raise SyncError(
            f"PICTURE={picture} cannot be written: {error.strerror}. Name another file."
        ) from None


def _sync(
    config: Path,
    target: Target,
    chosen: Sequence[str],
    folder: Path,
    drawing: Mapping[str, Any],
) -> list[str]:
    """Sync with temporary files in `folder`; return the connector's errors.

    `drawing` has arguments for `report`. If it is empty, nothing is drawn.
    """
    began = time.monotonic()
    fingerprints_of = fingerprints(config)
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
        from .databases import open_database  # noqa: PLC0415 a slow import, in parallel
        from .load import Table  # noqa: PLC0415

        streams = discovered.result()
    names = _choose(chosen, streams, config)
    tables = [Table(streams[name], fingerprints_of[name][0]) for name in names]
    chosen_streams = [table.stream for table in tables]
    with connector.reading(chosen_streams) as read_from, open_database(target, folder) as database:
        sources = [f"{each.name} from {_SERVICES[each.name]}" for each in tables]
        _print(f"Reading {', '.join(sources)} into {database.location}")
        with during("read the saved states"):
            saved = database.saved_states(tables)
        states = [
            json.loads(each["state"])
            for name, each in saved.items()
            if each["settings"] in fingerprints_of[name]
        ]
        if len(states) < len(saved):
            _warn(
                "The settings changed. This sync reads everything again and keeps old rows. If you "
                "changed the statistics window or the start date, drop the table cart_stats, and "
                "sync again: its old rows count the same days in other windows."
            )
        progress: Any = {"console": _err, "transient": True, "disable": not _err.is_terminal}
        messages = track(read_from(states), "Reading", **progress)
        with during("read and wrote the records"):
            summaries = database.load(messages, tables)
        _print_summaries(summaries)
        _print(f"The tables are in {database.location}.")
        result = "Failed after" if connector.problems else "Finished in"
        _print(f"{result} {time.monotonic() - began:.1f} seconds")
        if drawing and not connector.problems:
            from .report import report  # noqa: PLC0415 imports matplotlib

            with during("drew the picture"):
                drawing = {"read_at": datetime.now(timezone.utc), **drawing}
                report(database.query, summaries, target.kind, **drawing)
            _print(f"\nPicture: {drawing['path']}")
    return connector.problems


def _choose(chosen: Sequence[str], streams: Mapping[str, Any], config: Path) -> list[str]:
    """Return the names of the chosen streams, or of all. The settings must turn them on."""
    for name in chosen:
        if name not in _SETTINGS:
            raise SyncError(f"There is no stream {name}. Choose from {', '.join(streams)}.")
        if name not in streams:
            raise SyncError(
                f"The settings do not turn on the stream {name}. Set {_SETTINGS[name]} in "
                f"{config.absolute()}, or choose from {', '.join(streams)}."
            )
    return list(dict.fromkeys(chosen or streams))


def _print_summaries(summaries: Mapping[str, Any]) -> None:
    _print(
        f"{'stream':<20}{'records read':>14}{'rows new':>14}{'rows changed':>14}{'rows now':>14}"
    )
    for stream, summary in summaries.items():
        changed = "not counted" if summary.changed is None else f"{summary.changed:,}"
        _print(f"{stream:<20}{summary.read:>14,}{summary.new:>14,}{changed:>14}{summary.rows:>14,}")


def _print(text: str) -> None:
    with stop.output:
        print(text, flush=True)


@cache  # print each message once: `discover` and `read` may log the same one
def _warn(message: str, style: str = "yellow") -> None:
    with stop.output:
        _err.print(escape(message), style=style)


if __name__ == "__main__":
    main()
