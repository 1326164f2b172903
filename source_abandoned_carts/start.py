"""The command source-abandoned-carts: ready for signals first, then the rest."""

import os
import signal


def start() -> None:
    """Run the command. A signal ends it at once, also in the second that the CDK's import takes."""
    # As the first process of a container it would not hear a signal that it does not handle.
    signal.signal(signal.SIGTERM, lambda *_: os._exit(143))
    try:
        from .run import run  # noqa: PLC0415

        run()
    except KeyboardInterrupt:
        os._exit(130)
