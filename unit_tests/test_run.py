"""What the command changes in its process. Each run has a process of its own."""

import json
import signal
import subprocess
import sys

import pytest

RUN = """
import gc, json, logging, os, signal, sys
from airbyte_cdk.logger import PRINT_BUFFER
from source_abandoned_carts.run import run

codes = []
os._exit = codes.append
run()
print(json.dumps({
    "code": codes,
    "raiseExceptions": logging.raiseExceptions,
    "urllib3": logging.getLogger("urllib3").level,
    "recursion": sys.getrecursionlimit(),
    "gc": [gc.isenabled(), gc.get_threshold()[0]],
    "interrupt": int(signal.getsignal(signal.SIGINT)),
    "interval": PRINT_BUFFER.flush_interval,
}), file=sys.stderr)
"""


def run(*arguments, before=None):
    command = [sys.executable, "-c", RUN, *arguments]
    result = subprocess.run(command, check=True, capture_output=True, text=True, preexec_fn=before)
    return json.loads(result.stderr), result.stdout


@pytest.mark.parametrize("arguments", [["spec"], []])
def test_the_command_sets_up_its_process(arguments):
    changes, messages = run(*arguments)
    assert changes == {
        "code": [0 if arguments else 1],
        "raiseExceptions": False,
        "urllib3": 50,
        "recursion": 5_000,
        "gc": [True, 20_000],
        "interrupt": signal.SIG_DFL,
        "interval": 0.005,
    }
    assert ('"type":"SPEC"' in messages) == bool(arguments)


def test_the_command_leaves_an_ignored_interrupt_ignored():
    """As nohup and background jobs of a shell set it."""
    changes, _ = run("spec", before=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN))
    assert changes["interrupt"] == signal.SIG_IGN
