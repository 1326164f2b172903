"""How importing the package and running its command change their process."""

import json
import signal
import subprocess
import sys

IMPORT = """
import gc, importlib, logging, pkgutil, signal, sys, warnings
import airbyte_cdk.entrypoint, attributes_doc, requests, urllib3.response

OTHERS = (airbyte_cdk, attributes_doc, logging, requests, sys, urllib3)
NAMES = tuple(module.__name__ for module in OTHERS)
MODULES = [name for name in sys.modules if name.partition(".")[0] in NAMES]


def snapshot():
    found = {
        "recursion limit": sys.getrecursionlimit(),
        "gc": (gc.isenabled(), gc.get_threshold(), gc.get_freeze_count()),
        "signals": [signal.getsignal(number) for number in sorted(signal.valid_signals())],
        "warnings": (warnings.showwarning, list(warnings.filters)),
    }
    for name in LOGGERS:
        logger = logging.getLogger(name)
        found[f"logger {name}"] = (logger.level, list(logger.handlers), list(logger.filters))
    for name in MODULES:
        for key, value in vars(sys.modules[name]).items():
            found[f"{name}.{key}"] = value
            if isinstance(value, type):
                found |= {f"{name}.{key}.{k}": v for k, v in vars(value).items()}
    return found


LOGGERS = ["root", *logging.root.manager.loggerDict]
before = snapshot()
import source_abandoned_carts
for module in pkgutil.walk_packages(source_abandoned_carts.__path__, "source_abandoned_carts."):
    importlib.import_module(module.name)
source_abandoned_carts.SourceAbandonedCarts
for name, value in snapshot().items():
    if before.get(name) is not value and before.get(name) != value:
        print(name)
"""


def run(code, *arguments, before=None):
    command = [sys.executable, "-c", code, *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True, preexec_fn=before)


def test_importing_the_package_changes_nothing_outside_it():
    assert run(IMPORT).stdout == ""


LOGS = """
import logging
from source_abandoned_carts import commands, output, run

def log(arguments):
    logging.getLogger("library").error("%d", "ann@shop.example")
    logging.getLogger("library").error("The library goes on.")
    return True

commands.run = log
run.run()
"""


def test_log_line_that_cannot_be_formatted_is_left_out():
    result = run(LOGS, "spec")
    assert [json.loads(line)["log"]["message"] for line in result.stdout.splitlines()] == [
        "The library goes on."
    ]
    assert result.stderr == ""


RUN = """
import logging, os, signal, sys
from source_abandoned_carts.run import run

os._exit = lambda code: print(code, file=sys.stderr)
run()
print(logging.raiseExceptions, int(signal.getsignal(signal.SIGINT)), file=sys.stderr)
"""


def test_keeps_sigint_ignored_and_prints_no_logging_errors():
    """nohup and the background jobs of a shell ignore SIGINT."""
    result = run(RUN, "spec", before=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN))
    assert result.stderr.split() == ["0", "False", str(int(signal.SIG_IGN))]
