"""Opens the database that TO names."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .load import Database
from .target import Target


@contextmanager
def open_database(target: Target, folder: Path) -> Iterator[Database]:
    """Open a database, with temporary files in `folder`. Import only what it needs."""
    match target.kind:
        case "duckdb":
            from .duckdb_database import open_duckdb  # noqa: PLC0415

            opened = open_duckdb(Path(target.address).absolute(), folder)
        case "postgresql":
            from .postgresql_database import open_postgresql  # noqa: PLC0415

            opened = open_postgresql(target, folder)
        case name:
            from .other_database import open_other  # noqa: PLC0415

            opened = open_other(name, folder)
    with opened as database:
        yield database
