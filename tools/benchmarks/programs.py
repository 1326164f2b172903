"""The commands of the programs that are compared, and the resources that they use."""

import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone
from pathlib import Path

from tools.processes import CONNECTOR, PROJECT, Command, Usage, catalog, write_files

PYTHON = sys.executable

ONE_STREAM = ("abandoned_carts",)
BOTH = (*ONE_STREAM, "cart_stats")
CAP = 500  # carts per page that the server returns, and the most that the connector requests

# A destination that takes 1,000 records per second.
_SLOW_READER = """
import sys, time
number = 0
for number, line in enumerate(sys.stdin.buffer, 1):
    if number % 10 == 0:
        time.sleep(0.01)
print(number)
"""


@contextmanager
def serving(carts: int, delay: float = 0) -> Iterator[str]:
    """Run tools.benchmarks.server with this number of carts, and yield its address."""
    command = [PYTHON, "-m", "tools.benchmarks.server", str(carts), str(delay), str(CAP)]
    with subprocess.Popen(command, cwd=PROJECT, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        try:
            yield f"http://127.0.0.1:{server.stdout.readline().strip()}"  # ignore-https-check
        finally:
            server.kill()


def run(command: Sequence[str], url: str = "", lines: int = 0, *, slowly: bool = False) -> Usage:
    """Run a program with its output in a pipe. Exit if it fails or writes too few lines."""
    reader = [sys.executable, "-c", _SLOW_READER] if slowly else ["wc", "-l"]
    with (
        Command(command, url) as process,
        subprocess.Popen(reader, stdin=process.stdout, stdout=subprocess.PIPE) as counting,
    ):
        assert process.stdout is not None
        process.stdout.close()  # only the reader uses it
        usage = process.usage()
        counted = int(counting.communicate()[0] or 0)
    if process.returncode or counted < lines:
        sys.exit(f"{' '.join(command)}: exit code {process.returncode} after {counted} lines.")
    return usage


def bare(page_size: int, windows: int = 0) -> list[str]:
    """Return the command of tools.benchmarks.bare."""
    return [PYTHON, "-m", "tools.benchmarks.bare", str(page_size), str(windows)]


def connector(command: str, *settings: str) -> list[str]:
    """Return a command of this project; `settings` comes from `settings_files`."""
    return [CONNECTOR, command, *settings]


def low_code(command: str, *settings: str) -> list[str]:
    """Return a command of Airbyte's low-code framework with tools/benchmarks/manifest.yaml."""
    manifest = str(PROJECT / "tools" / "benchmarks" / "manifest.yaml")
    runner = str(Path(PYTHON).with_name("source-declarative-manifest"))
    return [runner, command, *settings, "--manifest-path", manifest]


def settings_files(
    folder: Path,
    url: str,
    streams: Sequence[str] = (),
    days: int = 60,
    page_size: int | None = None,
) -> list[str]:
    """Write a configuration, and a catalog if there are streams. Return the arguments for them.

    Statistics are read in one-day windows for the last `days` days.
    """
    first = datetime.now(timezone.utc) - timedelta(days=days - 1)
    config: dict[str, str | int] = {
        "start_date": first.strftime("%Y-%m-%d"),
        "snipcart_api_key": "key",
        "retargeting_rest_key": "key",
        "retargeting_window_days": 1,
        "snipcart_departed_carts": "departed_carts" in streams,
        "url": url,  # for low-code
    }
    if page_size:
        config["snipcart_page_size"] = page_size
    files = {"config": config} | ({"catalog": catalog(*streams)} if streams else {})
    return write_files(folder, **files)
