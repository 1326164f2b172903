"""What tests share to run the installed connector against a sandbox on loopback."""

import itertools
import json
import os
import signal
import subprocess
import threading
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from tools.processes import catalog, write_files
from tools.sandbox import Request, Sandbox

from .forks import EXECUTABLE, Process

ROOT = Path(__file__).parent.parent
CARTS = "abandoned_carts"
STATS = "cart_stats"
JSONObjects = list[dict[str, Any]]


@dataclass
class Output:
    """The exit code and the output of a command."""

    code: int
    text: str
    waits: list[float]
    """Seconds of each sleep from 0.5 on. A forked command sleeps for a hundredth of them."""

    @property
    def messages(self) -> JSONObjects:
        return [json.loads(line) for line in self.text.removesuffix("\n").split("\n") if self.text]

    def of(self, kind: str) -> JSONObjects:
        return [message for message in self.messages if message["type"] == kind]

    def records(self, stream: str) -> JSONObjects:
        records = [message["record"] for message in self.of("RECORD")]
        return [record["data"] for record in records if record["stream"] == stream]

    def states(self, stream: str) -> JSONObjects:
        states = [message["state"]["stream"] for message in self.of("STATE")]
        return [s["stream_state"] for s in states if s["stream_descriptor"]["name"] == stream]

    @property
    def status(self) -> dict[str, Any]:
        """The only CONNECTION_STATUS message."""
        (message,) = self.of("CONNECTION_STATUS")
        status: dict[str, Any] = message["connectionStatus"]
        return status

    @property
    def errors(self) -> JSONObjects:
        traces = [message["trace"] for message in self.of("TRACE")]
        return [trace["error"] for trace in traces if trace["type"] == "ERROR"]

    def error(self, stream: str) -> dict[str, Any]:
        """Return the first error of a stream."""
        descriptors = [(error.get("stream_descriptor") or {}, error) for error in self.errors]
        return next(error for found, error in descriptors if found.get("name") == stream)

    def statuses(self, stream: str) -> list[str]:
        """Return the statuses of a stream: STARTED, RUNNING, COMPLETE or INCOMPLETE."""
        traces = [message["trace"].get("stream_status") for message in self.of("TRACE")]
        return [t["status"] for t in traces if t and t["stream_descriptor"]["name"] == stream]

    def logs(self, level: str) -> list[str]:
        return [m["log"]["message"] for m in self.of("LOG") if m["log"]["level"] == level]


class Runner:
    """Runs the connector with its files in a folder and a sandbox's URLs in the environment.

    It starts the installed executable, or forks a process, which is faster.
    """

    def __init__(self, folder: Path, sandbox: Sandbox, *, forks: bool = False) -> None:
        self._folder = folder
        self._waits = folder / "waits"
        self._forks = forks
        self.environment = {**os.environ, **sandbox.environment, "WAITS": str(self._waits)}

    def start(self, *arguments: str, **files: Any) -> "Process | subprocess.Popen[str]":
        """Start the command with arguments and files. A file is written as text or as JSON."""
        given = {name: content for name, content in files.items() if content is not None}
        command = [*arguments, *write_files(self._folder, **given)]
        self._waits.write_text("")
        if self._forks:
            return Process(command, self.environment)
        return subprocess.Popen(
            [EXECUTABLE, *command],
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            errors="replace",
        )

    def run(self, *arguments: str, **files: Any) -> Output:
        """Run a command until it ends."""
        process = self.start(*arguments, **files)
        text, _ = process.communicate(timeout=120)
        code = process.returncode
        assert code is not None
        assert code >= 0, f"ended by a signal, or after 120 seconds: {text}"
        return Output(code, text, [float(w) for w in self._waits.read_text().split()])

    def read(
        self,
        config: dict[str, Any],
        *streams: str,
        state: dict[str, Any] | None = None,
        mode: str = "incremental",
        options: tuple[str, ...] = (),
    ) -> Output:
        """Read some streams; `state` maps a stream to its state."""
        states = None if state is None else state_file(state)
        configured = catalog(*streams, mode=mode)
        return self.run("read", *options, config=config, catalog=configured, state=states)


class SyncedStream:
    """One stream of a sandbox, with the state and the table that its syncs leave.

    The table is what a destination holds that merges records by key.
    """

    def __init__(self, sandbox: Sandbox, connector: Runner, name: str, **settings: Any) -> None:
        self.sandbox = sandbox
        self.connector = connector
        self.name = name
        self.config = {**sandbox.config, **settings}
        self.state: dict[str, Any] = {}
        self.table: dict[str, dict[str, Any]] = {}

    def sync(self, code: int = 0, **settings: Any) -> JSONObjects:
        """Sync and return the records. The sandbox then lists the requests of this sync only."""
        self.sandbox.requests.clear()
        config, state = {**self.config, **settings}, {self.name: self.state}
        self.output = self.connector.read(config, self.name, state=state)
        assert self.output.code == code, self.output.text
        return self._merge(self.output.messages)

    def sync_and_kill(self, *, records: int, requests: int) -> JSONObjects:
        """Kill a sync that has emitted `records`, while it waits for a response after `requests`.

        Returns the complete records.
        """
        is_over = threading.Event()
        numbers = itertools.count(1)

        def wait(_: Request) -> None:
            if next(numbers) > requests:
                is_over.wait(30)

        self.sandbox.before = wait
        state = state_file({self.name: self.state})
        process = self.connector.start(
            "read", config=self.config, catalog=catalog(self.name), state=state
        )
        assert process.stdout is not None
        lines: list[str] = []
        while records:
            lines.append(process.stdout.readline())
            assert lines[-1], lines
            records -= '"type":"RECORD"' in lines[-1]
        process.send_signal(signal.SIGKILL)
        process.wait()
        is_over.set()
        self.sandbox.before = None
        with process.stdout:
            lines += process.stdout.readlines()
        return self._merge([json.loads(line) for line in lines if line.endswith("\n")])

    def _merge(self, messages: JSONObjects) -> JSONObjects:
        records = []
        for message in messages:
            if message["type"] == "RECORD":
                records.append(record := message["record"]["data"])
                self.table[record.get("token") or record["date_from"]] = record
            elif message["type"] == "STATE":
                self.state = message["state"]["stream"]["stream_state"]
        return records


def wait_for_import(process: subprocess.Popen[str], module: str) -> None:
    """Wait until a process that was started with PYTHONPROFILEIMPORTTIME has imported a module."""
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("import time:") and line.split("|")[-1].strip() == module:
            return
    raise AssertionError(f"The process did not import {module}.")


def package_files(folder: Path) -> set[tuple[str, bytes]]:
    """Return the names and contents of the connector's files in a folder with its package."""
    paths = folder.glob("source_abandoned_carts/**/*.*")
    packaged = (path for path in paths if path.suffix in (".py", ".yaml", ".json"))
    return {(path.name, path.read_bytes()) for path in packaged}


def state_file(states: dict[str, Any]) -> JSONObjects:
    return [
        {"type": "STREAM", "stream": {"stream_descriptor": {"name": name}, "stream_state": state}}
        for name, state in states.items()
    ]


def instant(text: str) -> datetime:
    """Parse RFC 3339 in UTC with any number of fraction digits. Python 3.10 cannot."""
    assert text.endswith("Z")
    seconds, _, fraction = text[:-1].partition(".")
    date = datetime.strptime(seconds, "%Y-%m-%dT%H:%M:%S").replace(tzinfo=timezone.utc)
    return date.replace(microsecond=int(fraction[:6].ljust(6, "0")))
