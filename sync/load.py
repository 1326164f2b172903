"""Writes rows and states into a database through dlt.

dlt receives Arrow tables with the columns of the stream's schema, so it infers no types. It merges
by primary key, and saves each state in the same load as the rows that the state covers.
"""

import contextlib
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import dlt
import duckdb
import psycopg2
import pyarrow as pa
from dlt.destinations.exceptions import DatabaseUndefinedRelation

from .columns import OTHERS, Kind, column_name, kind_of, to_row
from .connector import Messages, SyncError

_NAME, _DATASET = "abandoned_carts", "carts"  # the pipeline; the dataset in a warehouse

_WRITE_EVERY = 16 * 2**20
"""Rows are written after this many bytes of messages. A killed sync resumes from there."""

_ARROW: dict[Kind, pa.DataType] = {
    "string": pa.string(),
    "number": pa.float64(),
    "integer": pa.int64(),
    "boolean": pa.bool_(),
    "date-time": pa.timestamp("us", tz="UTC"),
}
"""Other kinds are written as JSON."""


class Table:
    """A stream's table: its columns, and the rows and state that are pending (not written yet)."""

    def __init__(self, stream: Mapping[str, Any]) -> None:
        self.stream = stream
        self.name: str = stream["name"]
        fields = stream["json_schema"]["properties"]
        self._kinds = {field: kind_of(declared) for field, declared in fields.items()}
        self._keys = [column_name(path[0]) for path in stream["source_defined_primary_key"]]
        columns = {column_name(field): _ARROW.get(kind) for field, kind in self._kinds.items()}
        columns[OTHERS] = None
        self._schema = pa.schema([(name, type_ or pa.string()) for name, type_ in columns.items()])
        self._hints: Any = {
            name: {"nullable": True} if type_ else {"nullable": True, "data_type": "json"}
            for name, type_ in columns.items()
        }
        self._rows: dict[object, dict[str, Any]] = {}
        self.state: Mapping[str, Any] | None = None

    def add(self, record: Mapping[str, Any]) -> None:
        """Add a record to the pending rows. It replaces a pending row with the same key."""
        row = to_row(record, self._kinds)
        key = tuple(row.get(name) for name in self._keys)
        self._rows[object() if None in key else key] = row

    def resource(self, settings: str) -> dlt.sources.DltResource:
        """Return the pending rows and state as a dlt resource, and clear them."""
        rows, self._rows = self._rows, {}
        state, self.state = self.state, None

        def read() -> Iterator[pa.Table]:
            if state is not None:
                saved = {"settings": settings, "state": json.dumps(state)}
                dlt.current.resource_state().update(saved)
            table = pa.Table.from_pylist(list(rows.values()), schema=self._schema)
            rows.clear()
            yield table

        # `add` has deduplicated the rows by key. dlt would keep only one row without a key.
        merge: Any = {"disposition": "merge", "strategy": "delete-insert", "deduplicated": True}
        return dlt.resource(
            read,
            name=self.name,
            primary_key=self._keys,
            columns=self._hints,
            write_disposition=merge,
        )


class Database:
    """The tables of all streams, in a dlt destination."""

    def __init__(
        self, destination: Any, dataset: str, folder: Path, file_format: Any = None
    ) -> None:
        self._file_format = file_format
        self._pipeline = dlt.pipeline(
            _NAME, destination=destination, dataset_name=dataset, pipelines_dir=str(folder)
        )
        self._pipeline.sync_destination()

    def saved_states(self, tables: Sequence[Table]) -> list[dict[str, str]]:
        """Return the last state of each stream that has a table, with the settings of that sync.

        Tables and columns that a user dropped are created again.
        """
        existing = []
        for table in tables:
            with contextlib.suppress(DatabaseUndefinedRelation):
                self.query(f"SELECT 1 FROM {table.name} WHERE 1 = 0")
                existing.append(table.name)
        if self._pipeline.default_schema_name:
            with self._pipeline.destination_client() as client:
                client.update_stored_schema(force=True)
        elif existing:
            raise SyncError(
                "An earlier version, or another program, has written the tables "
                f"{', '.join(existing)} with other columns. Drop them, or use another database."
            )
        states = self._pipeline.state.get("sources", {}).get(_NAME, {}).get("resources", {})
        return [states[name] for name in existing if name in states]

    def load(self, messages: Messages, tables: Sequence[Table], settings: str) -> dict[str, int]:
        """Write the records and states, and return the number of records by stream."""
        by_name = {table.name: table for table in tables}
        read = dict.fromkeys(by_name, 0)
        pending = 0
        for message, size in messages:
            match message:
                case {"record": {"stream": name, "data": record}}:
                    by_name[name].add(record)
                    read[name] += 1
                case {"state": {"stream": {"stream_descriptor": {"name": name}}} as state}:
                    by_name[name].state = state
            pending += size
            if pending >= _WRITE_EVERY:
                self._write(tables, settings)
                pending = 0
        self._write(tables, settings)
        return read

    def _write(self, tables: Sequence[Table], settings: str) -> None:
        """Write all pending rows and states. No state is written before its records."""
        source = dlt.source(lambda: [table.resource(settings) for table in tables], name=_NAME)
        self._pipeline.run(source(), loader_file_format=self._file_format)

    def query(self, statement: str) -> list[tuple[Any, ...]]:
        """Return the rows of a query."""
        with self._pipeline.sql_client() as client, client.execute_query(statement) as cursor:
            return cursor.fetchall()


@contextlib.contextmanager
def open_database(to: str, folder: Path) -> Iterator[Database]:
    """Open the database that `to` names. Lock DuckDB and PostgreSQL against a second sync."""
    if to.startswith("duckdb:"):
        path = Path(to.removeprefix("duckdb:///")).absolute()
        path.parent.mkdir(parents=True, exist_ok=True)
        with duckdb.connect(path) as file:  # DuckDB locks the file
            yield Database(dlt.destinations.duckdb(file), "main", folder)
    elif to.startswith("postgres"):
        with contextlib.closing(psycopg2.connect(to)) as connection:
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute(
                    "SELECT COALESCE(current_schema(), 'public'),"
                    " pg_try_advisory_lock(hashtext('source-abandoned-carts'))"
                )
                schema, locked = cursor.fetchone()  # locked until the connection ends
            if not locked:
                raise SyncError("Another sync is writing into this database. Try again later.")
            info = connection.info  # with the password from PGPASSWORD or ~/.pgpass
            login = {"username": info.user, "password": info.password or "none"}
            where = {"database": info.dbname, "host": "see query", "query": info.dsn_parameters}
            postgres = dlt.destinations.postgres(
                login | where, enable_dataset_name_normalization=False
            )
            # By default, dlt would load CSV files, which turn empty strings into NULL.
            yield Database(postgres, schema, folder, "insert_values")
    else:
        yield Database(to, _DATASET, folder)
