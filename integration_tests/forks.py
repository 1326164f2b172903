"""Start the connector by forking a process that has imported it already, which saves a second.

Each run is a process with its own arguments, environment, standard streams and signals. It sleeps
for a hundredth of each time and writes the whole time to a file. All runs share what Python and the
libraries read before the fork: the PYTHON* variables, the locale, the time zone and the hash seed.
Tests of these start the real executable.
"""

import gc
import multiprocessing
import os
import pkgutil
import signal
import sys
import threading
import time
from multiprocessing.connection import Connection
from pathlib import Path

import source_abandoned_carts
from source_abandoned_carts import run, throttle

EXECUTABLE = Path(sys.executable).with_name("source-abandoned-carts")

_modules = pkgutil.iter_modules(source_abandoned_carts.__path__, "source_abandoned_carts.")
_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload([__name__, *(module.name for module in _modules)])


class Process:
    """A forked command, with those methods of subprocess.Popen that tests use."""

    def __init__(self, arguments: list[str], environment: dict[str, str]) -> None:
        output, its_output = _context.Pipe(duplex=False)
        with output, its_output:
            arguments_of_run = (its_output, arguments, environment)
            self._process = _context.Process(target=_run, args=arguments_of_run, daemon=True)
            self._process.start()
            # The tests close it. A signal can cut the last line within a character.
            self.stdout = open(os.dup(output.fileno()), encoding="utf-8", errors="replace")  # noqa: SIM115
        self.returncode: int | None = None

    def send_signal(self, number: int) -> None:
        assert self._process.pid is not None
        os.kill(self._process.pid, number)

    def wait(self, timeout: float | None = None) -> int | None:
        """Wait for the end. Return the exit code, or the negative signal number."""
        self._process.join(timeout)
        self.returncode = self._process.exitcode
        return self.returncode

    def communicate(self, timeout: float) -> tuple[str, None]:
        """Return what the command writes until it ends. Kill it after the timeout."""
        timer = threading.Timer(timeout, self.send_signal, [signal.SIGKILL])
        timer.start()
        with self.stdout:
            text = self.stdout.read()
        timer.cancel()
        self.wait()
        return text, None


def _run(output: Connection, arguments: list[str], environment: dict[str, str]) -> None:
    """Run the command in the process that was forked for it."""
    with open(os.devnull) as nothing:
        os.dup2(nothing.fileno(), 0)
    os.dup2(output.fileno(), 1)
    os.dup2(output.fileno(), 2)
    output.close()
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = [str(EXECUTABLE), *arguments]
    gc.freeze()  # or collections would copy the memory that all runs share
    _shorten_sleep()
    run.run()


def _shorten_sleep() -> None:
    """Sleep for a hundredth, and let the clock of rate limits run a hundred times as fast."""
    real_sleep = time.sleep
    throttle.now = lambda: 100 * time.monotonic()

    def sleep(seconds: float) -> None:
        if seconds >= 0.5:
            with open(os.environ["WAITS"], "a") as waits:
                waits.write(f"{seconds}\n")
        real_sleep(seconds / 100)

    time.sleep = sleep  # type: ignore[assignment]
