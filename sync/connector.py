"""Runs the installed connector as a process, to discover streams and to read them."""

import contextlib
import json
import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from subprocess import PIPE, Popen
from typing import Any

_COMMAND = Path(sys.executable).parent / "source-abandoned-carts"

_NUL = re.compile(rb"(?<!\\)((?:\\\\)*)\\u0000")  # in JSON; PostgreSQL cannot store it
_RETRY = "Retrying in "  # in log lines that are shown although they are not warnings

Messages = Iterable[tuple[dict[str, Any], int]]
"""RECORD and STATE messages with their sizes in bytes."""


class SyncError(Exception):
    """An error whose message is for the person who runs the sync."""


class Connector:
    """Keeps temporary files in `folder`, and passes warnings and retries to `warn`."""

    def __init__(self, config: Path, folder: Path, warn: Callable[[str], None]) -> None:
        self._config = config
        self._folder = folder
        self._warn = warn
        self._errors: dict[str | None, str] = {}
        self._exit_code = 0

    def discover(self) -> dict[str, dict[str, Any]]:
        """Return the streams that the settings turn on, by name, in the protocol's format."""
        with self._run("discover") as process:
            catalogs = [message["catalog"] for message, _ in self._messages(process)]
        if not catalogs:
            raise SyncError("\n".join(self.problems))
        return {stream["name"]: stream for stream in catalogs[0]["streams"]}

    @contextlib.contextmanager
    def reading(self, streams: Sequence[Any]) -> Iterator[Callable[[Sequence[Any]], Messages]]:
        """Start `read`, which takes a second. Yield a function that sends it the states."""
        mode = {"destination_sync_mode": "append_dedup"}
        configured = [  # "incremental", if the stream supports it
            {"stream": stream, "sync_mode": max(stream["supported_sync_modes"]), **mode}
            for stream in streams
        ]
        catalog = self._folder / "catalog.json"
        catalog.write_text(json.dumps({"streams": configured}))
        with self._run("read", "--catalog", str(catalog), "--state", "/dev/stdin") as process:

            def read(states: Sequence[Any]) -> Messages:
                with contextlib.suppress(BrokenPipeError), process.stdin as file:
                    file.write(json.dumps(states).encode())
                return self._messages(process)

            yield read

    @property
    def problems(self) -> list[str]:
        """The error messages of the connector."""
        # The CDK's last error belongs to no stream and sums up the others.
        found = [error for stream, error in self._errors.items() if stream]
        found = found or list(self._errors.values())
        if self._exit_code and not found:
            ended = f"The connector ended before it had finished (exit code {self._exit_code})."
            found = [f"{ended} Run the sync again: it resumes from the last saved state."]
        return found

    @contextlib.contextmanager
    def _run(self, command: str, *arguments: str) -> Iterator[Any]:
        command_line = [str(_COMMAND), command, "--config", str(self._config), *arguments]
        environment = {**os.environ, "TMPDIR": str(self._folder)}
        with Popen(command_line, env=environment, stdin=PIPE, stdout=PIPE) as process:
            try:
                yield process
            except BaseException:
                process.terminate()
                raise

    def _messages(self, process: Any) -> Messages:
        for line in process.stdout:
            if not line.endswith(b"\n"):
                break  # the connector was killed while it wrote
            plain = _NUL.sub(rb"\1\\ufffd", line) if rb"\u0000" in line else line
            match json.loads(plain):
                case {"log": {"level": level, "message": text}}:
                    if level == "WARN" or _RETRY in text:
                        self._warn(text)
                case {"trace": {"error": {"message": text} as error}}:
                    stream = error.get("stream_descriptor") or {}
                    self._errors.setdefault(stream.get("name"), text)
                case {"type": "RECORD" | "STATE" | "CATALOG"} as message:
                    yield message, len(line)
        self._exit_code = process.wait()
