"""Ends the process at Ctrl-C, SIGTERM or SIGHUP with one message, and leaves nothing behind.

A thread does this. An exception could be lost in dlt or DuckDB, which catch KeyboardInterrupt, and
would not interrupt a database driver that waits for a response.
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # signals are handled once this module is imported, so it imports little
    from collections.abc import Iterator
    from pathlib import Path
    from subprocess import Popen

_MESSAGE = "Stopped. The next sync resumes from the last saved state.\n"

output = threading.Lock()
"""Held while the sync prints. It is never released once the sync is stopped."""

_children: list[Popen[Any]] = []
_folders: list[Path] = []


def handle_signals() -> None:
    """Stop at signals from now on. Signals that the parent process ignores stay ignored."""
    receiver, sender = os.pipe()
    os.set_blocking(sender, False)
    signal.set_wakeup_fd(sender, warn_on_full_buffer=False)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, lambda *_: None)  # the thread reads its number from the pipe
    threading.Thread(target=_wait, args=(receiver,), daemon=True).start()


@contextlib.contextmanager
def killing(child: Popen[Any]) -> Iterator[None]:
    """Kill this child process, too, if the sync is stopped."""
    _children.append(child)
    try:
        yield
    finally:
        _children.remove(child)


@contextlib.contextmanager
def removing(folder: Path) -> Iterator[None]:
    """Remove this folder, too, if the sync is stopped."""
    _folders.append(folder)
    try:
        yield
    finally:
        _folders.remove(folder)


def _wait(receiver: int) -> None:
    os.read(receiver, 1)
    import shutil  # noqa: PLC0415

    output.acquire(timeout=1)  # a reader that is paused blocks the thread that prints
    for child in _children:
        child.kill()
    for folder in _folders:
        # The main thread may be creating files in it. It cannot create them in a renamed folder.
        renamed = folder.with_name(f"{folder.name}.stopped")
        with contextlib.suppress(OSError):
            folder.rename(renamed)
        shutil.rmtree(renamed, ignore_errors=True)
        shutil.rmtree(folder, ignore_errors=True)
    show_cursor = "\r\x1b[K\x1b[?25h" if os.isatty(2) else ""  # the progress line hides it
    with contextlib.suppress(OSError):
        os.write(2, f"{show_cursor}{_MESSAGE}".encode())
    os._exit(1)
