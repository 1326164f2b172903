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
_CARTS = 500_000
_GONE = 10_000
_DAYS = 3_653


def _used(process: Command) -> str:
    """Return the time and the peak memory of a process. Exit if the process failed."""
    usage = process.usage()
    if process.returncode:
        sys.exit(f"The process failed with exit code {process.returncode}.")
    return f"{usage.wall:.1f} s, {usage.cpu:.1f} s of CPU, {usage.memory:.0f} MB at the peak"


def read(folder: Path, url: str, streams: Sequence[str], states: Sequence[Any] = ()) -> list[Any]:
    """Read streams with the connector alone, and return their last states."""
    settings = settings_files(folder, url, streams, _DAYS) + write_files(folder, state=states)
    process = Command(connector("read", *settings), url)
    records: Counter[str] = Counter()
    lines: Counter[str] = Counter()
    last: dict[str, Any] = {}
    logged = largest = 0
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
    print(f"the connector alone: {_used(process)}")
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
    process = Command([PYTHON, "-m", "sync", *arguments], url, stderr=subprocess.STDOUT)
    assert process.stdout is not None
    output = process.stdout.read()
    print(f"{carts:,} carts into DuckDB: {_used(process)}")
    with duckdb.connect(str(path), read_only=True) as database:
        for stream, key in zip(BOTH, ("token", "date_from"), strict=True):
            found = database.execute(f"SELECT COUNT(*), COUNT(DISTINCT {key}) FROM {stream}")
            print("  {:,} rows, {:,} keys in {}".format(*(found.fetchone() or ()), stream))
    print(f"  {path.stat().st_size / 2**20:,.0f} MB of database, {len(output):,} bytes of output")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as name:
        with serving(_CARTS) as address:
            saved = read(Path(name), address, _STREAMS)
        with serving(_CARTS - _GONE) as address:
            read(Path(name), address, ["departed_carts"], saved)
        with serving(_CARTS) as address:
            sync(Path(name), address, _CARTS, _DAYS)
        for number in (300, 20_000):
            with serving(number) as address:
                sync(Path(name), address, number, days=60)
