"""The command source-abandoned-carts. What it changes in its process, it changes here.

Importing this module imports nothing of the CDK, which takes half a second: signals come first.
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
    gc.disable()  # there is no garbage in what imports make
    with contextlib.suppress(ImportError):
        import attributes_doc  # noqa: PLC0415

        # serpyco would parse the source of all the CDK's models for descriptions nobody sees.
        attributes_doc.get_attributes_doc = lambda cls: {}  # noqa: ARG005
    from airbyte_cdk.entrypoint import AirbyteEntrypoint  # noqa: PLC0415
    from airbyte_cdk.logger import PRINT_BUFFER  # noqa: PLC0415

    from . import commands  # noqa: PLC0415

    gc.freeze()
    gc.set_threshold(20_000)  # JSON makes many objects and no cycles
    gc.enable()
    # Logging and warnings would otherwise print what they cannot log, with nothing redacted.
    logging.raiseExceptions = False
    logging.captureWarnings(True)
    # urllib3 logs URLs, which hold a key and the filters.
    logging.getLogger("urllib3").setLevel(logging.CRITICAL)
    sys.setrecursionlimit(5_000)  # JSON as deep as orjson reads it, the CDK writes with json
    PRINT_BUFFER.flush_interval = 0.005  # seconds; within the CDK's 0.1, it gathers some 40 MB
    arguments = AirbyteEntrypoint.parse_args(sys.argv[1:])
    try:
        with PRINT_BUFFER:
            succeeded = commands.run(arguments)
    except BrokenPipeError:
        succeeded = False
    # Not by returning: threads may be waiting for a service, or for a reader that is gone.
    os._exit(0 if succeeded else 1)


def _end_at_signals() -> None:
    if os.getpid() == 1:
        # The kernel ignores signals to a container's first process unless it handles them.
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda received, _: os._exit(128 + received))
    elif signal.getsignal(signal.SIGINT) == signal.default_int_handler:
        # Without a KeyboardInterrupt, upon which the CDK's buffer would be written a second time.
        signal.signal(signal.SIGINT, signal.SIG_DFL)
