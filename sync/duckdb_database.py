"""Opens a DuckDB file, and describes DuckDB's errors."""

import contextlib
import re
from collections.abc import Iterator
from pathlib import Path

import dlt
import duckdb

from source_abandoned_carts.issues import REPORT

from .errors import SyncError, find, full_disk
from .load import Database

_HEADER = 3 * 4096  # bytes that each DuckDB file begins with
_OFFLINE: dict[str, str | bool | int | float | list[str]] = {
    # DuckDB would download an extension for files of other programs.
    "autoinstall_known_extensions": False,
    "autoload_known_extensions": False,
}


@contextlib.contextmanager
def open_duckdb(path: Path, folder: Path) -> Iterator[Database]:
    """Open the file. DuckDB locks it against other processes."""
    _check(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with duckdb.connect(path, config=_OFFLINE) as file:
            destination = dlt.destinations.duckdb(file)
            yield Database(destination, "main", folder, f"the DuckDB file {path}")
    except SyncError:
        raise
    except Exception as error:
        if cause := find(error, duckdb.Error):
            raise SyncError(_describe(cause, path)) from error
        raise


def _check(path: Path) -> None:
    """Raise SyncError if the file belongs to another program. Remove the beginning of a new one."""
    if path.is_dir():
        raise SyncError(f"{path} is a folder. Write TO=duckdb:///{path}/abandoned_carts.duckdb.")
    if not path.is_file():
        return
    with path.open("rb") as file:
        start = file.read(_HEADER)
    if start[8:12] != b"DUCK" and start.strip(b"\0"):
        kind = "an SQLite" if start.startswith(b"SQLite format 3") else "not a DuckDB"
        raise SyncError(f"{path} is {kind} file. Name another file, which DuckDB will create.")
    if len(start) < _HEADER:
        path.unlink()  # a sync was killed, or the disk was full, while DuckDB created the file


def _describe(error: duckdb.Error, path: Path) -> str:  # noqa: PLR0911 one for each cause
    text = str(error)
    if lock := re.search(r"lock is held in (.+?) \(PID (\d+)\)", text):
        program, process = lock.groups()
        return (
            f"{path} is open in another program: {Path(program).name}, process {process}. If it "
            "is another sync, wait until it ends. Otherwise, close it. Then run the sync again."
        )
    if re.search("No space left|File too large|[Qq]uota exceeded", text):
        return full_disk(f"for {path}")
    if re.search("Read-only file system|Permission denied|read-only mode", text):
        return f"{path} is read-only. Make the file and its folder writable, or name another file."
    match error:
        case duckdb.IOException():
            return f"{path} cannot be used: {text.splitlines()[0].removeprefix('IO Error: ')}"
        case duckdb.ConstraintException():
            return (
                f"A constraint in {path} refuses the rows of the connector. Drop the constraint, "
                "such as a foreign key, that was added to the tables."
            )
        case duckdb.OutOfMemoryException():
            return "DuckDB has too little memory. Close other programs, and run the sync again."
    return (
        f"DuckDB refused a statement ({type(error).__name__}). If you changed the tables in "
        f"{path}, undo the change, or drop the changed table. Otherwise: {REPORT}"
    )
