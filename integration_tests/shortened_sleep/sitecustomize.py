"""Shortens time.sleep in the process under test, and writes down how long it would have been."""

import os
import time

_sleep = time.sleep


def sleep(seconds: float) -> None:
    if seconds >= 0.5:
        with open(os.environ["WAITS"], "a") as waits:
            waits.write(f"{seconds}\n")
    _sleep(seconds / 100)


time.sleep = sleep
