"""`make load`: read and sync a shop with 500,000 carts and ten years of days.

The connector alone reads the shop, and reads it again after 10,000 carts have left. Then whole
syncs into DuckDB run: the large shop, 300 carts (goal: 4 s) and 20,000 carts (goal: 15 s, 600 MB).
The program prints the time, the memory and the output of each run.
"""

import json
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tools.processes import Command, write_files

from .programs import BOTH, PYTHON, connector, serving, settings_files

_STREAMS = (*BOTH, "departed_carts")
_CART_COUNT = 500_000
_GONE = 10_000
_DAYS = 3_653
_SYNCS = ((_CART_COUNT, _DAYS), (300, 60), (20_000, 60))  # numbers of carts and days


def _used(process: Command) -> str:
    """Return the time and the peak memory of a process. Exit if the process failed."""
    usage = process.usage()
    if process.returncode:
        sys.exit(f"The process failed with exit code {process.returncode}.")
    return f"{usage.wall:.1f} s, {usage.cpu:.1f} s of CPU, {usage.memory:.0f} MB at the peak"


def read(folder: Path, url: str, streams: Sequence[str], states: Sequence[Any] = ()) -> list[Any]:
    """Read streams with the connector alone, and return their last states."""
    settings = settings_files(folder, url, streams, _DAYS) + write_files(folder, state=states)
    records: Counter[str] = Counter()
    lines: Counter[str] = Counter()
    last: dict[str, Any] = {}
    logged = largest = 0
    with Command(connector("read", *settings), url) as process:
        assert process.stdout is not None
        for line in process.stdout:
            match json.loads(line):
                case {"record": {"stream": name}}:
                    records[name] += 1
                case {"state": {"stream": {"stream_descriptor": {"name": name}}} as state}:
                    last[name] = state
                    lines["STATE"] += 1
                    largest = max(largest, len(json.dumps(state)))
                case {"type": kind}:
                    lines[kind] += 1
                    logged += len(line)
        used = _used(process)
    print(f"the connector alone: {used}")
    for name, number in records.items():
        print(f"  {number:,} records of {name}")
    print(f"  {lines.pop('STATE'):,} states of at most {largest:,} bytes")
    print(f"  {logged:,} bytes of log and status in {sum(lines.values()):,} lines")
    return list(last.values())


def sync(folder: Path, url: str, carts: int, days: int) -> None:
    """Sync into a new DuckDB file."""
    import duckdb  # noqa: PLC0415

    path = folder / f"{carts}.duckdb"
    settings_files(folder, url, days=days)
    arguments = ["--config", str(folder / "config.json"), "--to", f"duckdb:///{path}"]
    command = [PYTHON, "-m", "sync", *arguments]
    with Command(command, url, stderr=subprocess.STDOUT) as process:
        assert process.stdout is not None
        output = process.stdout.read()
        used = _used(process)
    print(f"{carts:,} carts into DuckDB: {used}")
    with duckdb.connect(str(path), read_only=True) as database:
        for stream, key in zip(BOTH, ("token", "date_from"), strict=True):
            found = database.execute(f"SELECT COUNT(*), COUNT(DISTINCT {key}) FROM {stream}")
            print("  {:,} rows, {:,} keys in {}".format(*(found.fetchone() or ()), stream))
    print(f"  {path.stat().st_size / 2**20:,.0f} MB of database, {len(output):,} bytes of output")


def main() -> None:
    """Measure everything, and print it."""
    with tempfile.TemporaryDirectory() as name:
        with serving(_CART_COUNT) as url:
            states = read(Path(name), url, _STREAMS)
        with serving(_CART_COUNT - _GONE) as url:
            read(Path(name), url, ["departed_carts"], states)
        for carts, days in _SYNCS:
            with serving(carts) as url:
                sync(Path(name), url, carts, days)


if __name__ == "__main__":
    main()
