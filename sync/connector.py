"""Runs the installed connector as a process, to discover streams and to read them."""

import contextlib
import json
import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from subprocess import DEVNULL, PIPE, Popen
from typing import Any

from source_abandoned_carts.issues import REPORT

from . import stop
from .errors import SyncError

_COMMAND = Path(sys.executable).parent / "source-abandoned-carts"

_NUL = re.compile(rb"(?<!\\)((?:\\\\)*)\\u0000")  # in JSON; PostgreSQL cannot store it
_GARBLED = (
    "The connector wrote a line that is not a message, so the sync stopped reading. Run make "
    f"clean, and sync again. If that does not help: {REPORT}"
)

Messages = Iterable[tuple[dict[str, Any], int]]
"""RECORD and STATE messages with their sizes in bytes."""


class Connector:
    """Keeps temporary files in `folder`, and passes warnings to `warn`."""

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
        modes = {"sync_mode": "incremental", "destination_sync_mode": "append_dedup"}
        configured = [{"stream": stream, **modes} for stream in streams]
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
        environment = {
            **os.environ,
            "PYTHONIOENCODING": "utf-8",  # this variable has precedence over PYTHONUTF8
            "PYTHONUTF8": "1",
            "TMPDIR": str(self._folder),
        }
        # Python writes tracebacks and warnings to standard error, and they may quote customers.
        standard: Any = {"stdin": PIPE, "stdout": PIPE, "stderr": DEVNULL}
        with Popen(command_line, env=environment, **standard) as process, stop.killing(process):
            try:
                yield process
            except BaseException:
                process.kill()
                raise

    def _messages(self, process: Any) -> Messages:
        for line in process.stdout:
            if not line.endswith(b"\n"):
                break  # the connector was killed while it wrote
            plain = _NUL.sub(rb"\1\\ufffd", line) if rb"\u0000" in line else line
            try:
                message = json.loads(plain)
            except ValueError:  # its text quotes the line
                self._errors[None] = _GARBLED
                process.kill()
                break
            match message:
                case {"log": {"level": level, "message": text}}:
                    if level == "WARN":
                        self._warn(text)
                case {"trace": {"error": {"message": text} as error}}:
                    stream = error.get("stream_descriptor") or {}
                    self._errors.setdefault(stream.get("name"), text)
                case {"type": "RECORD" | "STATE" | "CATALOG"}:
                    yield message, len(line)
        self._exit_code = process.wait()
