"""The only writer to standard output: Airbyte messages, one JSON object per line, in UTF-8.

It writes bytes to the file descriptor, so neither the locale nor a buffer affects the output.
"""

import contextlib
import logging
import os
import select
import sys
import threading

from airbyte_cdk.entrypoint import AirbyteEntrypoint
from airbyte_cdk.logger import AirbyteLogFormatter
from airbyte_cdk.models import AirbyteLogMessage, AirbyteMessage, Level, Type
from airbyte_cdk.utils.airbyte_secrets_utils import filter_secrets

_STANDARD_OUTPUT = 1  # the file descriptor

_lock = threading.Lock()  # a thread that logs must not split another thread's lines


def write_message(message: AirbyteMessage) -> None:
    """Write one message as a line."""
    write(f"{AirbyteEntrypoint.airbyte_message_to_string(message)}\n".encode())


def write(lines: bytes) -> None:
    """Write whole lines. If they cannot be written, end the process with exit code 1.

    Ending at once is the only safe reaction: what was not written must not be followed by a state.
    """
    rest = memoryview(lines)
    with _lock:
        try:
            while rest:
                rest = rest[_write_some(rest) :]
        except OSError as error:
            _end_without_output(error)


def _write_some(lines: memoryview) -> int:
    """Return the number of bytes that were written."""
    try:
        return os.write(_STANDARD_OUTPUT, lines)
    except BlockingIOError:  # another program that shares it made it non-blocking
        select.select([], [_STANDARD_OUTPUT], [])
        return 0


def _end_without_output(error: OSError) -> None:
    line = f"source-abandoned-carts: standard output cannot be written: {error.strerror}.\n"
    if sys.stderr is not None:  # None if it was closed at the start, so that others may use it
        with contextlib.suppress(OSError):
            os.write(sys.stderr.fileno(), line.encode())
    os._exit(1)


class LogHandler(logging.Handler):
    """Writes log records as LOG messages, without credentials.

    The CDK's formatter would write debug records as objects that are not in the protocol.
    """

    def emit(self, record: logging.LogRecord) -> None:
        try:
            text = self.format(record)
        except Exception:  # the arguments do not fit the text: a mistake of whoever logs
            self.handleError(record)
            return
        level = AirbyteLogFormatter.level_mapping.get(record.levelno, Level.INFO)
        log = AirbyteLogMessage(level=level, message=filter_secrets(text))
        write_message(AirbyteMessage(type=Type.LOG, log=log))
