"""python -m integration_tests.kill_at STEP …: run `python -m sync …`, and kill it at a step.

The steps of a load in dlt are:

- tables: the tables exist, but not the record of their schema. In a database whose transactions
  cover CREATE TABLE, the transaction is open;
- staging: the same in the dataset from which dlt merges;
- merge: the rows are in the staging dataset;
- load: all rows and the state are written, but the load is not marked as complete.
"""

import os
import signal
import sys
from typing import Any

from sync import __main__ as program
from sync.connector import Connector

_STEPS = {  # the method of dlt, and the number of the call
    "tables": ("_update_schema_in_storage", 1),
    "staging": ("_update_schema_in_storage", 2),
    "merge": ("run", 1),
    "load": ("complete_load", 1),
}


def _kill_at(step: str) -> None:
    # dlt must not be imported before the sync has set its environment variables.
    from dlt.destinations.job_client_impl import (  # noqa: PLC0415
        SqlJobClientBase,
        SqlLoadJob,
    )

    method, number = _STEPS[step]
    owner: Any = SqlLoadJob if method == "run" else SqlJobClientBase
    original = getattr(owner, method)
    calls = []

    def call(*arguments: Any) -> Any:
        calls.append(1)
        if len(calls) == number:
            os.kill(os.getpid(), signal.SIGKILL)
        return original(*arguments)

    setattr(owner, method, call)


def main() -> None:
    step = sys.argv.pop(1)
    reading = Connector.reading

    def patched(*arguments: Any) -> Any:
        _kill_at(step)
        return reading(*arguments)

    Connector.reading = patched  # type: ignore[method-assign,assignment]
    program.main()


if __name__ == "__main__":
    main()
