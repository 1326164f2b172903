"""The command source-abandoned-carts: ready for signals first, then the rest."""

import contextlib
import gc
import os
import signal


def start() -> None:
    """Run the command. A signal ends it at once, also in the second that the CDK's import takes."""
    if os.getpid() == 1:
        # The first process of a container does not hear a signal that it does not handle. Elsewhere
        # it dies of the signal itself: PyAirbyte takes any other end for a failure.
        signal.signal(signal.SIGTERM, lambda *_: os._exit(143))
    try:
        _import_in_half_the_time()
        from .run import run  # noqa: PLC0415

        run()
    except KeyboardInterrupt:
        os._exit(130)


def _import_in_half_the_time() -> None:
    gc.disable()  # what imports make, stays: nothing would be found in it
    with contextlib.suppress(ImportError):
        import attributes_doc  # noqa: PLC0415

        # For descriptions that nobody sees, serpyco parses the source of all the CDK's models.
        attributes_doc.get_attributes_doc = lambda cls: {}  # noqa: ARG005
    from . import run  # noqa: F401, PLC0415

    gc.freeze()
    gc.set_threshold(20_000)  # not at each page: JSON has many objects and no cycles
    gc.enable()
