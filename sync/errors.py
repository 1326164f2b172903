"""What is said to a person when a database fails."""

import re
import sys
import traceback
from pathlib import Path

import duckdb
import psycopg2
from dlt.common.configuration.exceptions import ConfigFieldMissingException
from dlt.common.destination.exceptions import UnknownDestinationModule
from dlt.common.exceptions import MissingDependencyException

_FINAL = (ConfigFieldMissingException, MissingDependencyException, UnknownDestinationModule)


def describe(error: BaseException, to: str) -> str:
    """Say what went wrong. A message of a database that may quote a cart is not shown."""
    while not isinstance(error, _FINAL) and (cause := error.__cause__ or error.__context__):
        error = cause
    match error:
        case MissingDependencyException():
            needed = " ".join(f'"{name}"' for name in error.dependencies)
            return f"TO={to} needs more packages: {sys.executable} -m pip install {needed}"
        case ConfigFieldMissingException():
            names = re.findall(rf"\b(DESTINATION__{to.upper()}__\w+)\)", str(error))
            return f"TO={to} needs environment variables: {', '.join(dict.fromkeys(names))}."
        case UnknownDestinationModule():
            return f"TO={to} is no destination of dlt."
        case OSError():
            return f"{error.filename or 'A file'} cannot be used: {error.strerror}."
        case duckdb.IOException() | psycopg2.OperationalError() | psycopg2.ProgrammingError():
            return f"The database cannot be used: {str(error).strip().splitlines()[0]}"
    place = traceback.extract_tb(error.__traceback__)[-1]
    return (
        f"The sync stopped at {type(error).__name__} in {Path(place.filename).name}, line "
        f"{place.lineno}. Check TO and the user's rights there; if both are right, please report "
        "this."
    )
