"""Start the project's commands, write the files that they read, and measure what they use."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).parents[1]
CONNECTOR = str(Path(sys.executable).with_name("source-abandoned-carts"))


@dataclass(frozen=True)
class Usage:
    """What a process used: seconds from start to end, seconds of CPU, MB of memory at the peak."""

    wall: float
    cpu: float
    memory: float


class Command(subprocess.Popen[bytes]):
    """A running command. Its standard output is a pipe, and `url` is where both APIs are."""

    def __init__(self, command: Sequence[str], url: str, **options: Any) -> None:
        self._started = time.monotonic()
        environment = {**os.environ, **api_variables(url)}
        super().__init__(command, cwd=PROJECT, env=environment, stdout=subprocess.PIPE, **options)

    def usage(self) -> Usage:
        """Wait for the end, set `returncode`, and return what the process used."""
        _, status, usage = os.wait4(self.pid, 0)
        self.returncode = os.waitstatus_to_exitcode(status)
        wall, cpu = time.monotonic() - self._started, usage.ru_utime + usage.ru_stime
        return Usage(wall, cpu, usage.ru_maxrss / 1024)


def api_variables(url: str) -> dict[str, str]:
    """Return the environment variables that point the connector to the APIs of a local server."""
    return {"SNIPCART_API_URL": f"{url}/api", "RETARGETING_API_URL": f"{url}/v1/partners-api"}


def catalog(*streams: str, mode: str = "incremental") -> dict[str, Any]:
    """Return a configured catalog without schemas, which the connector does not read."""
    modes = {"sync_mode": mode, "destination_sync_mode": "append"}
    supported = {"json_schema": {}, "supported_sync_modes": ["full_refresh", "incremental"]}
    return {"streams": [{"stream": {"name": name, **supported}, **modes} for name in streams]}


def write_files(folder: Path, **files: Any) -> list[str]:
    """Write files as text or as JSON. Return the arguments for them, such as --config PATH."""
    arguments = []
    for name, content in files.items():
        path = folder / f"{name}.json"
        path.write_text(content if isinstance(content, str) else json.dumps(content))
        arguments += [f"--{name}", str(path)]
    return arguments
