"""Opens any other destination of dlt, such as BigQuery, and describes its errors."""

import contextlib
import re
import sys
from collections.abc import Iterator
from pathlib import Path

from dlt.common.configuration.exceptions import ConfigFieldMissingException, ConfigurationException
from dlt.common.destination.exceptions import UnknownDestinationModule
from dlt.common.exceptions import MissingDependencyException

from . import bigquery_rows
from .errors import SyncError, chain, find
from .load import Database

DATASET = "carts"

_FORMATS = {"bigquery": "jsonl"}
"""BigQuery cannot load JSON columns from Parquet files, which dlt would write."""

_BIGQUERY = "DESTINATION__BIGQUERY__CREDENTIALS"
_BIGQUERY_LOGIN = (
    f"Set the environment variables {_BIGQUERY}__PROJECT_ID, {_BIGQUERY}__CLIENT_EMAIL and "
    f"{_BIGQUERY}__PRIVATE_KEY to the values in the JSON key of a service account. Or set "
    f"{_BIGQUERY} to the whole JSON."
)


@contextlib.contextmanager
def open_other(name: str, folder: Path) -> Iterator[Database]:
    """Open a destination with credentials from the environment. It is not locked."""
    if name == "bigquery":
        bigquery_rows.use()
    try:
        yield Database(name, DATASET, folder, f"{name}, dataset {DATASET}", _FORMATS.get(name))
    except SyncError:
        raise
    except Exception as error:
        if message := _describe(error, name):
            raise SyncError(message) from error
        raise


def _describe(error: Exception, name: str) -> str | None:  # noqa: PLR0911 one for each cause
    if missing := find(error, MissingDependencyException):
        packages = " ".join(f'"{each}"' for each in missing.dependencies)
        return (
            f"TO={name} needs packages. Install them: {sys.executable} -m uv pip install {packages}"
        )
    if unset := find(error, ConfigFieldMissingException):
        if name == "bigquery":
            return f"TO={name} has no credentials. {_BIGQUERY_LOGIN}"
        variables = dict.fromkeys(
            re.findall(rf"\b(DESTINATION__{name.upper()}__\w+)\)", str(unset))
        )
        return f"TO={name} is not configured. Set the environment variables {', '.join(variables)}."
    if find(error, UnknownDestinationModule):
        return f"TO={name} is not a dlt destination. Check its name at https://dlthub.com/docs."
    if invalid := find(error, ConfigurationException):  # its text may quote credentials
        return (
            f"The credentials of TO={name} are not valid ({type(invalid).__name__}). Check the "
            f"environment variables that begin with DESTINATION__{name.upper()}__."
        )
    names = {type(each).__name__ for each in chain(error)}
    if names & {"RefreshError", "Unauthorized", "Unauthenticated"}:
        return f"The service refused the credentials of TO={name}. Check that they are still valid."
    if names & {"Forbidden", "PermissionDenied"}:
        rights = (
            "the roles BigQuery Data Editor and BigQuery Job User"
            if name == "bigquery"
            else "rights to create and change tables and datasets"
        )
        return f"The account of TO={name} lacks rights. Grant it {rights}."
    if find(error, ConnectionError) or find(error, TimeoutError) or "TransportError" in names:
        return f"The service of TO={name} cannot be reached. Check the network and the proxy."
    return None
