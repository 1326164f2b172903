"""The installed connector as a process: which streams it has, and what it reads from them."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

_COMMAND = Path(sys.executable).parent / "source-abandoned-carts"

_NUL = re.compile(rb"(?<!\\)((?:\\\\)*)\\u0000")  # in JSON; PostgreSQL cannot hold it
_SHOWN = "Retrying in "  # in log lines that are not warnings


class SyncError(Exception):
    """A sentence for the person who runs the sync."""


class Connector:
    """Its temporary files go into `folder`; `warn` gets the sentences that a person should see."""

    def __init__(self, config: Path, folder: Path, warn: Callable[[str], None]) -> None:
        self._config = config
        self._folder = folder
        self._warn = warn
        self._errors: dict[str | None, str] = {}
        self._exit_code = 0

    def discover(self) -> dict[str, dict[str, Any]]:
        """Give the streams that the settings turn on, as the protocol describes them, by name."""
        catalogs = [message["catalog"] for message, _ in self._run("discover")]
        if not catalogs:
            raise SyncError("\n".join(self.problems))
        return {stream["name"]: stream for stream in catalogs[0]["streams"]}

    def read(
        self, streams: Sequence[Mapping[str, Any]], states: Sequence[Any]
    ) -> Iterator[tuple[dict[str, Any], int]]:
        """Read streams from their states; give RECORD and STATE messages with their sizes."""
        mode = {"destination_sync_mode": "append_dedup"}
        configured = [  # "incremental", if the stream supports it
            {"stream": stream, "sync_mode": max(stream["supported_sync_modes"]), **mode}
            for stream in streams
        ]
        arguments = []
        for option, content in (("catalog", {"streams": configured}), ("state", states)):
            path = self._folder / f"{option}.json"
            path.write_text(json.dumps(content))
            arguments += [f"--{option}", str(path)]
        return self._run("read", *arguments)

    @property
    def problems(self) -> list[str]:
        """What went wrong, in the connector's own sentences."""
        # The CDK's last error belongs to no stream and sums up the others.
        found = [error for stream, error in self._errors.items() if stream]
        found = found or list(self._errors.values())
        if self._exit_code and not found:
            found = [f"The connector ended before it had finished (exit code {self._exit_code})."]
        return found

    def _run(self, command: str, *arguments: str) -> Iterator[tuple[dict[str, Any], int]]:
        words = [str(_COMMAND), command, "--config", str(self._config), *arguments]
        environment = {**os.environ, "TMPDIR": str(self._folder)}
        with subprocess.Popen(words, env=environment, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            try:
                for line in process.stdout:
                    if not line.endswith(b"\n"):
                        break  # the connector was killed while it wrote
                    match json.loads(_NUL.sub(rb"\1\\ufffd", line)):
                        case {"log": {"level": level, "message": text}}:
                            if level == "WARN" or _SHOWN in text:
                                self._warn(text)
                        case {"trace": {"error": {"message": text} as error}}:
                            stream = error.get("stream_descriptor") or {}
                            self._errors.setdefault(stream.get("name"), text)
                        case {"type": "RECORD" | "STATE" | "CATALOG"} as message:
                            yield message, len(line)
            except BaseException:
                process.terminate()
                raise
        self._exit_code = process.returncode
