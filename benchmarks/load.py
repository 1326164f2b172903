"""`make load`: a shop with years of history, 500,000 carts and ten years of days, in one sync.

By the connector alone, and into DuckDB by `make sync`; then syncs of smaller shops, which should
take at most 4 s (300 carts), and 15 s and 600 MB (20,000). Prints what each took and left behind.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from .programs import BOTH, PROJECT, connector, serving, settings_files

_CARTS = 500_000
_DAYS = 3_653


def _environment(url: str) -> dict[str, str]:
    apis = {"SNIPCART_API_URL": f"{url}/api", "RETARGETING_API_URL": f"{url}/v1/partners-api"}
    return {**os.environ, **apis}


def _wait(process: subprocess.Popen[bytes], started: float) -> str:
    """Give the time and the peak memory of a process that ended well."""
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(f"It ended with exit code {process.returncode}.")
    wall, cpu = time.monotonic() - started, usage.ru_utime + usage.ru_stime
    return f"{wall:.1f} s, {cpu:.1f} s of CPU, {usage.ru_maxrss / 1024:.0f} MB at the peak"


def read(folder: Path, url: str) -> None:
    """Read by the connector alone."""
    command = connector("read", *settings_files(folder, url, BOTH, _DAYS))
    started = time.monotonic()
    environment = _environment(url)
    process = subprocess.Popen(command, cwd=PROJECT, env=environment, stdout=subprocess.PIPE)
    lines: Counter[str] = Counter()
    logged = largest = 0
    assert process.stdout is not None
    for line in process.stdout:
        kind = line[9 : line.index(b'"', 9)].decode()  # {"type":"RECORD", …
        lines[kind] += 1
        if kind == "STATE":
            state = json.loads(line)["state"]["stream"]["stream_state"]
            largest = max(largest, len(json.dumps(state)))
        elif kind != "RECORD":
            logged += len(line)
    print(f"the connector alone: {_wait(process, started)}")
    print(f"  {lines['RECORD']:,} records, {lines['STATE']:,} states of at most {largest:,} bytes")
    print(f"  {logged:,} bytes of log and status in {lines['LOG'] + lines['TRACE']:,} lines")


def sync(folder: Path, url: str, carts: int, days: int) -> None:
    """Sync into a new DuckDB file."""
    import duckdb  # noqa: PLC0415

    path = folder / f"{carts}.duckdb"
    settings_files(folder, url, days=days)
    arguments = ["--config", str(folder / "config.json"), "--to", f"duckdb:///{path}"]
    started = time.monotonic()
    process = subprocess.Popen(
        [sys.executable, "-m", "sync", *arguments],
        cwd=PROJECT,
        env=_environment(url),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    assert process.stdout is not None
    told = process.stdout.read()
    print(f"{carts:,} carts into DuckDB: {_wait(process, started)}")
    with duckdb.connect(str(path), read_only=True) as database:
        for stream, key in zip(BOTH, ("token", "date_from"), strict=True):
            found = database.execute(f"SELECT COUNT(*), COUNT(DISTINCT {key}) FROM {stream}")
            print("  {:,} rows, {:,} keys in {}".format(*(found.fetchone() or ()), stream))
    print(f"  {path.stat().st_size / 2**20:,.0f} MB of database, {len(told):,} bytes of output")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as name:
        with serving(_CARTS) as address:
            read(Path(name), address)
            sync(Path(name), address, _CARTS, _DAYS)
        for number in (300, 20_000):
            with serving(number) as address:
                sync(Path(name), address, number, days=60)
