"""Start the installed command by forking a process that has imported it already.

Each run is a process with its own arguments, environment, folder, standard streams and signals, and
it exits as Python does. It sleeps for a hundredth of each time and writes the whole time to a file.
All runs share what Python and the libraries read before the fork: the PYTHON* variables, the
locale, the time zone and the hash seed. Tests of these start the real executable.
"""

import gc
import importlib
import json
import os
import pkgutil
import signal
import socket
import subprocess
import sys
import threading
import time
from importlib.metadata import entry_points
from pathlib import Path

COMMAND = "source-abandoned-carts"
EXECUTABLE = Path(sys.executable).with_name(COMMAND)


class ForkServer:
    """The process to fork. It ends when it is closed, or when this process ends."""

    def __init__(self) -> None:
        self._control, control = socket.socketpair(type=socket.SOCK_SEQPACKET)
        with control:
            # -I makes it import the installed package, not the checkout's. Standard output must
            # not be a terminal, so that Python buffers it as for a pipe.
            self._process = subprocess.Popen(
                [sys.executable, "-I", __file__], stdin=control, stdout=subprocess.DEVNULL
            )

    def close(self) -> None:
        self._control.close()
        self._process.wait()

    def start(self, arguments: list[str], environment: dict[str, str]) -> "Process":
        (output, their_output), (status, their_status) = os.pipe(), os.pipe()
        request = json.dumps([arguments, environment, os.getcwd()]).encode()
        socket.send_fds(self._control, [request], [their_output, their_status])
        os.close(their_output)
        os.close(their_status)
        return Process(output, status)


class Process:
    """A forked command, with those methods of subprocess.Popen that tests use."""

    def __init__(self, output: int, status: int) -> None:
        # The tests close it. A signal can cut the last line within a character.
        self.stdout = open(output, encoding="utf-8", errors="replace")  # noqa: SIM115
        self._status = open(status)  # noqa: SIM115
        self.pid = int(self._status.readline())
        self.returncode: int | None = None

    def send_signal(self, number: int) -> None:
        os.kill(self.pid, number)

    def wait(self) -> int:
        """Wait for the end. Return the exit code, or the negative signal number."""
        with self._status:
            self.returncode = os.waitstatus_to_exitcode(int(self._status.readline()))
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


def _serve() -> None:
    """Fork for each request. Return only in the process that runs the command."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C ends the server, too
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    control = socket.socket(fileno=0)
    while True:
        request, descriptors, _, _ = socket.recv_fds(control, 2**20, 2)
        if not request:
            sys.exit()
        if os.fork() == 0:
            break
        for descriptor in descriptors:
            os.close(descriptor)
    control.detach()
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    output, status = descriptors
    if command := os.fork():
        # This process waits for the command, so that the server does not.
        os.close(output)
        os.write(status, f"{command}\n".encode())
        os.write(status, f"{os.waitpid(command, 0)[1]}\n".encode())
        os._exit(0)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for descriptor, standard in ((nothing, 0), (output, 1), (output, 2)):
        os.dup2(descriptor, standard)
    for descriptor in (nothing, output, status):
        os.close(descriptor)
    arguments, environment, folder = json.loads(request)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = [str(EXECUTABLE), *arguments]


def _shorten_sleep() -> None:
    """Sleep for a hundredth, and let the clock of rate limits run a hundred times as fast."""
    real_sleep = time.sleep
    throttle = importlib.import_module("source_abandoned_carts.throttle")
    throttle.now = lambda: 100 * time.monotonic()

    def sleep(seconds: float) -> None:
        if seconds >= 0.5:
            with open(os.environ["WAITS"], "a") as waits:
                waits.write(f"{seconds}\n")
        real_sleep(seconds / 100)

    time.sleep = sleep


if __name__ == "__main__":
    (entry_point,) = entry_points(group="console_scripts", name=COMMAND)
    run = entry_point.load()
    package = importlib.import_module(entry_point.module.partition(".")[0])
    for module in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
        importlib.import_module(module.name)
    gc.freeze()  # so that collections in forked processes do not copy shared memory pages
    _serve()
    _shorten_sleep()
    sys.exit(run())
