"""Error messages for the person who runs the sync."""

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
    """Return an error message. It leaves out database messages that may quote a cart."""
    while not isinstance(error, _FINAL) and (cause := error.__cause__ or error.__context__):
        error = cause
    match error:
        case MissingDependencyException():
            needed = " ".join(f'"{name}"' for name in error.dependencies)
            return (
                f"TO={to} needs packages. Install them: {sys.executable} -m uv pip install {needed}"
            )
        case ConfigFieldMissingException():
            names = dict.fromkeys(re.findall(rf"\b(DESTINATION__{to.upper()}__\w+)\)", str(error)))
            return f"TO={to} is not configured. Set the environment variables {', '.join(names)}."
        case UnknownDestinationModule():
            return f"TO={to} is not a dlt destination. Check its name at https://dlthub.com/docs."
        case OSError():
            return f"{error.filename or 'A file'} cannot be used: {error.strerror}."
        case duckdb.IOException() | psycopg2.OperationalError() | psycopg2.ProgrammingError():
            return f"The database cannot be used: {str(error).strip().splitlines()[0]}"
    place = traceback.extract_tb(error.__traceback__)[-1]
    return (
        f"The sync failed with {type(error).__name__} in {Path(place.filename).name}, line "
        f"{place.lineno}. Check TO and the database user's rights. If both are right, report this."
    )
