"""The command source-abandoned-carts. All changes to its process are made here.

Importing this module does not import the CDK (half a second), so signals are handled first.
"""

import contextlib
import gc
import logging
import os
import signal
import sys


def run() -> None:
    """Run the command that the arguments name; messages go to standard output, one per line."""
    _end_at_signals()
    if sys.stdout is None:
        # The next file or connection would get its descriptor, and receive the messages.
        sys.exit("source-abandoned-carts: standard output is closed.")
    # Modules and JSON are many objects without cycles. With Python's default of 700, the search for
    # cycles among them would take a quarter of the CPU time of a sync.
    gc.set_threshold(100_000)
    with contextlib.suppress(ImportError):
        import attributes_doc  # noqa: PLC0415

        # Otherwise serpyco parses the source of all CDK models for unused descriptions.
        attributes_doc.get_attributes_doc = lambda cls: {}  # noqa: ARG005
    from airbyte_cdk.entrypoint import AirbyteEntrypoint  # noqa: PLC0415

    from . import commands, output  # noqa: PLC0415

    logging.basicConfig(handlers=[output.LogHandler()], format="%(message)s", force=True)
    # Otherwise logging errors and warnings go to standard error without redaction.
    logging.raiseExceptions = False
    logging.captureWarnings(True)
    # urllib3 logs URLs, which hold a key and the filters.
    logging.getLogger("urllib3").setLevel(logging.CRITICAL)
    succeeded = commands.run(AirbyteEntrypoint.parse_args(sys.argv[1:]))
    # Returning would wait for threads that are blocked on a request or a full queue.
    os._exit(0 if succeeded else 1)


def _end_at_signals() -> None:
    if os.getpid() == 1:
        # The kernel ignores signals to a container's first process unless it handles them.
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda received, _: os._exit(128 + received))
    elif signal.getsignal(signal.SIGINT) == signal.default_int_handler:
        # A KeyboardInterrupt would end the command with a traceback instead of by the signal.
        signal.signal(signal.SIGINT, signal.SIG_DFL)
