"""What the command changes in its process, which is one of its own."""

import signal
import subprocess
import sys

RUN = """
import logging, os, signal, sys
from source_abandoned_carts.run import run

os._exit = lambda code: print(code, file=sys.stderr)
run()
print(logging.raiseExceptions, int(signal.getsignal(signal.SIGINT)), file=sys.stderr)
"""


def test_prints_no_logging_errors_and_leaves_an_ignored_interrupt_ignored():
    """nohup and background jobs of a shell ignore the interrupt."""
    result = subprocess.run(
        [sys.executable, "-c", RUN, "spec"],
        check=True,
        capture_output=True,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN),
    )
    assert result.stderr.split() == ["0", "False", str(int(signal.SIG_IGN))]
