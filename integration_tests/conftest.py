"""Runs the installed command as a process against a sandbox on loopback."""

import itertools
import json
import os
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from sandbox import Sandbox

from .forks import EXECUTABLE, SHORTENED_SLEEP, ForkServer, Process

HERE = Path(__file__).parent


@dataclass
class Output:
    """What a run of the command gave."""

    code: int
    text: str
    waits: list[float]
    """The seconds of each time.sleep, where sleeping was shortened."""

    @property
    def messages(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.text.removesuffix("\n").split("\n") if self.text]

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [message for message in self.messages if message["type"] == kind]

    def records(self, stream: str) -> list[dict[str, Any]]:
        return [
            message["record"]["data"]
            for message in self.of("RECORD")
            if message["record"]["stream"] == stream
        ]

    def states(self, stream: str) -> list[dict[str, Any]]:
        return [
            message["state"]["stream"]["stream_state"]
            for message in self.of("STATE")
            if message["state"]["stream"]["stream_descriptor"]["name"] == stream
        ]

    @property
    def status(self) -> dict[str, Any]:
        """The one CONNECTION_STATUS."""
        (message,) = self.of("CONNECTION_STATUS")
        return message["connectionStatus"]

    @property
    def errors(self) -> list[dict[str, Any]]:
        return [
            message["trace"]["error"]
            for message in self.of("TRACE")
            if message["trace"]["type"] == "ERROR"
        ]

    def error(self, stream: str) -> dict[str, Any]:
        """The first error of a stream."""
        return next(
            error
            for error in self.errors
            if (error.get("stream_descriptor") or {}).get("name") == stream
        )

    def logs(self, level: str) -> list[str]:
        return [m["log"]["message"] for m in self.of("LOG") if m["log"]["level"] == level]


class Connector:
    """The command with its files in a folder, led to a sandbox by the environment.

    Without a fork server, it starts the installed executable.
    """

    def __init__(self, folder: Path, sandbox: Sandbox, forks: ForkServer | None) -> None:
        self._folder = folder
        self._waits = folder / "waits"
        self._forks = forks
        self.environment = {**os.environ, **sandbox.environment}

    def start(
        self, *words: str, fast: bool = False, **files: Any
    ) -> "Process | subprocess.Popen[str]":
        """Start the command with words and files; a file is JSON, or text as it is."""
        arguments = list(words)
        for name, content in files.items():
            if content is not None:
                path = self._folder / f"{name}.json"
                path.write_text(content if isinstance(content, str) else json.dumps(content))
                arguments += [f"--{name}", str(path)]
        environment = dict(self.environment)
        if fast:
            self._waits.write_text("")
            environment |= {"WAITS": str(self._waits), "PYTHONPATH": str(SHORTENED_SLEEP)}
        if self._forks:
            return self._forks.start(arguments, environment)
        return subprocess.Popen(
            [EXECUTABLE, *arguments],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            text=True,
        )

    def run(self, *words: str, fast: bool = False, **files: Any) -> Output:
        """Run a command to its end; `fast` shortens its sleep and tells how long it would be."""
        process = self.start(*words, fast=fast, **files)
        text, _ = process.communicate(timeout=120)
        waits = self._waits.read_text().split() if fast else []
        return Output(process.returncode, text, [float(seconds) for seconds in waits])

    def read(
        self,
        config: dict[str, Any],
        *streams: str,
        state: Any = None,
        mode: str = "incremental",
        options: tuple[str, ...] = (),
        fast: bool = False,
    ) -> Output:
        """Read some streams; `state` maps a stream to its state."""
        files = {"config": config, "catalog": catalog(*streams, mode=mode), "state": None}
        if state is not None:
            files["state"] = state_file(state)
        return self.run("read", *options, fast=fast, **files)


def read_and_kill(
    connector: Connector,
    sandbox: Sandbox,
    config: dict[str, Any],
    stream: str,
    *,
    state: dict[str, Any] | None = None,
    records: int,
    requests: int,
) -> list[dict[str, Any]]:
    """Kill a read that has given so many records, while it waits after so many requests.

    Gives the messages that came whole.
    """
    halted = threading.Event()
    asked = itertools.count(1)
    sandbox.before = lambda _: next(asked) > requests and halted.wait(30)
    files = {"config": config, "catalog": catalog(stream), "state": None}
    if state is not None:
        files["state"] = state_file({stream: state})
    process = connector.start("read", **files)
    assert process.stdout is not None
    lines: list[str] = []
    while records:
        lines.append(process.stdout.readline())
        assert lines[-1], lines
        records -= '"type":"RECORD"' in lines[-1]
    process.send_signal(signal.SIGKILL)
    process.wait()
    halted.set()
    lines += process.stdout.readlines()
    process.stdout.close()
    sandbox.before = None
    return [json.loads(line) for line in lines if line.endswith("\n")]


def catalog(*streams: str, mode: str = "incremental") -> dict[str, Any]:
    return {
        "streams": [
            {
                "stream": {
                    "name": name,
                    "json_schema": {},
                    "supported_sync_modes": ["full_refresh", "incremental"],
                },
                "sync_mode": mode,
                "destination_sync_mode": "append",
            }
            for name in streams
        ]
    }


def state_file(states: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        {
            "type": "STREAM",
            "stream": {"stream_descriptor": {"name": name}, "stream_state": state},
        }
        for name, state in states.items()
    ]


@pytest.fixture
def make_sandbox() -> Iterator[Callable[..., Sandbox]]:
    running = []

    def make(*arguments: Any, **options: Any) -> Sandbox:
        sandbox = Sandbox(*arguments, **options)
        running.append(sandbox.__enter__())
        return sandbox

    yield make
    for sandbox in running:
        sandbox.__exit__(None, None, None)


@pytest.fixture
def sandbox(make_sandbox: Callable[..., Sandbox]) -> Sandbox:
    """A sandbox with few carts."""
    return make_sandbox(120)


@pytest.fixture(scope="session")
def forks() -> Iterator[ForkServer]:
    server = ForkServer()
    yield server
    server.close()


@pytest.fixture
def connector(tmp_path: Path, sandbox: Sandbox, forks: ForkServer) -> Connector:
    """The connector led to the fixture sandbox."""
    return Connector(tmp_path, sandbox, forks)


@pytest.fixture
def executable(tmp_path: Path, sandbox: Sandbox) -> Connector:
    """The same by the real executable: for start-up, signals, closed pipes and exit codes."""
    return Connector(tmp_path, sandbox, None)


@pytest.fixture
def lead_to(tmp_path: Path, forks: ForkServer) -> Callable[[Sandbox], Connector]:
    """Make a connector that is led to a sandbox of the test's own."""
    return lambda sandbox: Connector(tmp_path, sandbox, forks)
