"""Fixtures: sandboxes, the connector's command, and databases."""

import contextlib
import signal
import socket
import sysconfig
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from tools.sandbox import Sandbox

from .databases import AnyDatabase, DuckDB, PostgreSQL, postgresql_server
from .harness import ROOT, Runner, package_files
from .syncs import Sync


def pytest_configure() -> None:
    """Refuse to test another package than the checkout's, and do not ignore Ctrl-C."""
    installed = package_files(Path(sysconfig.get_path("purelib")))
    differing = {path for path, _ in installed ^ package_files(ROOT)}
    if installed and differing:
        names = ", ".join(sorted(differing))
        raise pytest.UsageError(f"{names} changed after the installation: make .venv/installed")
    # If the tests are a job in the background, they ignore Ctrl-C, and so would what they start.
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Share one PostgreSQL server among xdist's workers."""
    node.workerinput["postgresql"] = _shared_server(node.config)


@cache
def _shared_server(config: pytest.Config) -> str:
    running = contextlib.ExitStack()
    config.add_cleanup(running.close)
    return running.enter_context(postgresql_server())


@pytest.fixture
def make_sandbox() -> Iterator[Callable[[int], Sandbox]]:
    with contextlib.ExitStack() as running:
        yield lambda carts: running.enter_context(Sandbox(carts))


@pytest.fixture
def sandbox(make_sandbox: Callable[[int], Sandbox]) -> Sandbox:
    """A sandbox with few carts."""
    return make_sandbox(120)


@pytest.fixture
def connector(tmp_path: Path, sandbox: Sandbox) -> Runner:
    """The connector, with the fixture sandbox."""
    return Runner(tmp_path, sandbox, forks=True)


@pytest.fixture
def executable(tmp_path: Path, sandbox: Sandbox) -> Runner:
    """The real executable, to test start-up, signals, closed pipes and exit codes."""
    return Runner(tmp_path, sandbox)


@pytest.fixture
def sync(tmp_path: Path, sandbox: Sandbox, connector: Runner) -> Iterator[Sync]:
    """A Sync that must not send requests to other addresses or leave files."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        other.settimeout(0.1)
        proxy = f"http://127.0.0.1:{other.getsockname()[1]}"
        yield (sync := Sync(tmp_path, sandbox, connector, proxy))
        with pytest.raises(TimeoutError):
            other.accept()
    assert not sync.home.exists()
    assert list(sync.temporary.rglob("*")) == []


@pytest.fixture(scope="session")
def server(request: pytest.FixtureRequest) -> Iterator[str]:
    """The PostgreSQL server that is started for xdist's workers, or another."""
    shared = getattr(request.config, "workerinput", {}).get("postgresql")
    with contextlib.nullcontext(shared) if shared else postgresql_server() as url:
        yield url


@pytest.fixture(params=["duckdb", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> AnyDatabase:
    if request.param == "duckdb":
        return DuckDB(tmp_path)
    return PostgreSQL(request.getfixturevalue("server"))
