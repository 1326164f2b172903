"""The programs that are compared, as commands, and what the operating system counts of a run."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path

PROJECT = Path(__file__).parent.parent
_BIN = PROJECT / ".venv" / "bin"
PYTHON = str(_BIN / "python")

CARTS, STATS = ("abandoned_carts",), ("cart_stats",)
BOTH = CARTS + STATS

# Stands for a destination that takes 1,000 records a second.
_SLOW_READER = """
import sys, time
number = 0
for number, line in enumerate(sys.stdin.buffer, 1):
    if number % 10 == 0:
        time.sleep(0.01)
print(number)
"""


@dataclass(frozen=True)
class Usage:
    """What a process took: seconds until its end, seconds of CPU, MB at the peak."""

    wall: float
    cpu: float
    memory: float


@contextmanager
def serving(carts: int, delay: float = 0, forms: Sequence[str] = ()) -> Iterator[str]:
    """Serve so many carts and give the address; see benchmarks.server."""
    command = [PYTHON, "-m", "benchmarks.server", str(carts), str(delay), *forms]
    with subprocess.Popen(command, cwd=PROJECT, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        try:
            yield f"http://127.0.0.1:{server.stdout.readline().strip()}"  # ignore-https-check
        finally:
            server.kill()


def run(command: Sequence[str], url: str = "", lines: int = 0, *, slowly: bool = False) -> Usage:
    """Run a program whose output is at least so many lines, and goes through a pipe."""
    environment = {
        **os.environ,
        "URL": url,
        "SNIPCART_API_URL": f"{url}/api",
        "RETARGETING_API_URL": f"{url}/v1/partners-api",
    }
    reader = [sys.executable, "-c", _SLOW_READER] if slowly else ["wc", "-l"]
    started = time.monotonic()
    with (
        subprocess.Popen(command, env=environment, cwd=PROJECT, stdout=subprocess.PIPE) as process,
        subprocess.Popen(reader, stdin=process.stdout, stdout=subprocess.PIPE) as counting,
    ):
        assert process.stdout is not None
        process.stdout.close()  # it is the reader's now
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.monotonic() - started
        process.returncode = os.waitstatus_to_exitcode(status)
        counted = int(counting.communicate()[0] or 0)
    if process.returncode or counted < lines:
        sys.exit(f"{' '.join(command)}: exit code {process.returncode} after {counted} lines.")
    return Usage(wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)


def bare(streams: Sequence[str], days: int) -> list[str]:
    """The loop of benchmarks.bare."""
    what = "both" if len(streams) > 1 else streams[0]
    return [PYTHON, "-m", "benchmarks.bare", what, str(days)]


def connector(command: str, *settings: str) -> list[str]:
    """This project's command; `settings` is what `settings_files` gives."""
    return [str(_BIN / "source-abandoned-carts"), command, *settings]


def low_code(command: str, *settings: str) -> list[str]:
    """Airbyte's low-code with benchmarks/manifest.yaml."""
    manifest = str(PROJECT / "benchmarks" / "manifest.yaml")
    runner = str(_BIN / "source-declarative-manifest")
    return [runner, command, *settings, "--manifest-path", manifest]


def settings_files(
    folder: Path, url: str, streams: Sequence[str] = (), days: int = 60
) -> list[str]:
    """Write settings, and a catalog of the streams if there are any; give the arguments for them.

    Statistics are to be read by days, from so many days ago.
    """
    first = datetime.now(timezone.utc) - timedelta(days=days - 1)
    config = {
        "start_date": first.strftime("%Y-%m-%d"),
        "snipcart_api_key": "key",
        "retargeting_rest_key": "key",
        "retargeting_window_days": 1,
        "url": url,  # for the low-code
    }
    arguments = ["--config", _write(folder / "config.json", config)]
    if streams:
        catalog = {"streams": [_configured(name) for name in streams]}
        arguments += ["--catalog", _write(folder / "catalog.json", catalog)]
    return arguments


def _configured(name: str) -> dict[str, object]:
    modes = ["full_refresh", "incremental"]
    return {
        "stream": {"name": name, "json_schema": {}, "supported_sync_modes": modes},
        "sync_mode": "incremental",
        "destination_sync_mode": "append",
    }


def _write(path: Path, content: object) -> str:
    path.write_text(json.dumps(content))
    return str(path)
