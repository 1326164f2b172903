"""Starts the installed command without its import, by forking a process that has done that.

Each run is a process with its own arguments, environment, folder, standard streams and signals, and
it ends the way Python ends. What Python and the libraries read before the fork is the same for all
runs: the PYTHON* variables, the locale, the time zone and the hash seed. A name that a library has
bound by `from time import sleep` is not shortened. Tests of these start the real executable.
"""

import gc
import importlib
import json
import os
import pkgutil
import runpy
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from importlib.metadata import entry_points
from pathlib import Path

COMMAND = "source-abandoned-carts"
EXECUTABLE = Path(sys.executable).with_name(COMMAND)
SHORTENED_SLEEP = Path(__file__).parent / "shortened_sleep"

_NUMBER = struct.Struct("i")


class ForkServer:
    """The process that is forked. It ends when it is closed, or when this process ends."""

    def __init__(self) -> None:
        self._control, control = socket.socketpair()
        with control:
            # Isolated, so that it imports the installed package and not the checkout's. Standard
            # output is not a terminal, so Python buffers it as it does for a pipe.
            self._process = subprocess.Popen(
                [sys.executable, "-I", __file__], stdin=control, stdout=subprocess.DEVNULL
            )

    def close(self) -> None:
        self._control.close()
        self._process.wait()

    def start(self, arguments: list[str], environment: dict[str, str]) -> "Process":
        """Start the command. With WAITS in the environment, its sleep is shortened."""
        connection, theirs = socket.socketpair()
        reader, writer = os.pipe()
        with theirs:
            socket.send_fds(self._control, [b"."], [theirs.fileno(), writer])
        os.close(writer)
        request = json.dumps([arguments, environment, os.getcwd()])
        connection.sendall(request.encode() + b"\n")
        return Process(connection, reader)


class Process:
    """A forked command, with the part of subprocess.Popen that tests use."""

    def __init__(self, connection: socket.socket, output: int) -> None:
        self._connection = connection
        self.stdout = open(output, encoding="utf-8")  # noqa: SIM115 (the tests close it)
        self.pid = self._receive()
        self.returncode: int | None = None

    def send_signal(self, number: int) -> None:
        if self.returncode is None:
            os.kill(self.pid, number)

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the end, and give the exit code, or minus the signal that ended it."""
        if self.returncode is None:
            self._connection.settimeout(timeout)
            self.returncode = os.waitstatus_to_exitcode(self._receive())
            self._connection.close()
        return self.returncode

    def communicate(self, timeout: float) -> tuple[str, None]:
        """Give what the command writes until its end, and kill it when that takes longer."""
        latest = time.monotonic() + timeout
        timer = threading.Timer(timeout, self.send_signal, [signal.SIGKILL])
        timer.start()
        with self.stdout:
            text = self.stdout.read()
        self.wait()
        timer.cancel()
        if time.monotonic() > latest:
            raise TimeoutError(text)
        return text, None

    def _receive(self) -> int:
        (number,) = _NUMBER.unpack(self._connection.recv(_NUMBER.size))
        return number


def _serve() -> None:
    """Fork for each request, and return in the process that is to run the command."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C in the terminal ends the server, too
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    control = socket.socket(fileno=0)
    while True:
        _, descriptors, _, _ = socket.recv_fds(control, 1, 2)
        if not descriptors:
            sys.exit()
        if os.fork() == 0:
            break
        for descriptor in descriptors:
            os.close(descriptor)
    control.detach()
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    connection, output = socket.socket(fileno=descriptors[0]), descriptors[1]
    if command := os.fork():
        # This process waits for the command, so that the server need not.
        os.close(output)
        connection.sendall(_NUMBER.pack(command))
        connection.sendall(_NUMBER.pack(os.waitpid(command, 0)[1]))
        os._exit(0)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with connection, connection.makefile() as lines:
        arguments, environment, folder = json.loads(lines.readline())
    nothing = os.open(os.devnull, os.O_RDONLY)
    for descriptor, standard in ((nothing, 0), (output, 1), (output, 2)):
        os.dup2(descriptor, standard)
    os.close(nothing)
    os.close(output)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = [str(EXECUTABLE), *arguments]
    if "WAITS" in os.environ:
        runpy.run_path(str(SHORTENED_SLEEP / "sitecustomize.py"))


if __name__ == "__main__":
    (entry_point,) = entry_points(group="console_scripts", name=COMMAND)
    run = entry_point.load()
    package = importlib.import_module(entry_point.module.partition(".")[0])
    for module in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
        importlib.import_module(module.name)
    gc.freeze()  # the collector of a forked process need not touch the imported modules' pages
    _serve()
    sys.exit(run())
