"""Importing the package changes nothing outside it."""

import subprocess
import sys

IMPORT = """
import gc, importlib, logging, pkgutil, signal, sys, warnings
import airbyte_cdk.entrypoint, attributes_doc, requests, urllib3.response

OTHERS = ("airbyte_cdk", "attributes_doc", "requests", "urllib3", "serpyco_rs", "orjson", "json")


def snapshot():
    found = {
        "print buffer": dict(vars(airbyte_cdk.logger.PRINT_BUFFER)),
        "recursion limit": sys.getrecursionlimit(),
        "gc": (gc.isenabled(), gc.get_threshold(), gc.get_freeze_count()),
        "signals": [signal.getsignal(number) for number in sorted(signal.valid_signals())],
        "excepthook": sys.excepthook,
        "warnings": (warnings.showwarning, list(warnings.filters)),
        "raiseExceptions": logging.raiseExceptions,
        "root logger": (logging.root.level, list(logging.root.handlers)),
    }
    for name, logger in logging.root.manager.loggerDict.items():
        if isinstance(logger, logging.Logger):
            found[f"logger {name}"] = (logger.level, logger.disabled, list(logger.filters))
    for name, module in list(sys.modules.items()):
        if name.partition(".")[0] in OTHERS and name in MODULES:
            for key, value in vars(module).items():
                found[f"{name}.{key}"] = value
                if isinstance(value, type):
                    found |= {f"{name}.{key}.{k}": v for k, v in vars(value).items()}
    return found


MODULES = set(sys.modules)
before = snapshot()
import source_abandoned_carts
for module in pkgutil.walk_packages(source_abandoned_carts.__path__, "source_abandoned_carts."):
    importlib.import_module(module.name)
source_abandoned_carts.SourceAbandonedCarts
after = snapshot()
for name, value in (before | after).items():
    is_new_logger = name.startswith("logger ") and name not in before
    if before.get(name) is not value and before.get(name) != value and not is_new_logger:
        print(name)
"""


def test_importing_the_package_changes_nothing_outside_it():
    command = [sys.executable, "-c", IMPORT]
    assert subprocess.run(command, check=True, capture_output=True, text=True).stdout == ""
