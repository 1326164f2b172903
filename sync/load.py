"""Rows and states into a database, by dlt.

dlt gets Arrow tables with the columns of the stream's schema, so it guesses no types. It merges by
primary key, and saves each state in the same load as the rows that the state covers.
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

from .columns import OTHERS, Kind, column_name, fit, kind_of
from .connector import Messages, SyncError

_NAME, _DATASET = "abandoned_carts", "carts"  # of the pipeline; of the tables in a warehouse

_WRITE_EVERY = 16 * 2**20
"""Bytes of messages after which the rows are written, so that a killed sync resumes there."""

_ARROW: dict[Kind, pa.DataType] = {
    "string": pa.string(),
    "number": pa.float64(),
    "integer": pa.int64(),
    "boolean": pa.bool_(),
    "date-time": pa.timestamp("us", tz="UTC"),
}
"""Other kinds are written as JSON."""


class Table:
    """A stream's table: its columns, and the rows and the state that wait to be written."""

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
        """Take a record; one with the same key that waits is replaced."""
        row = fit(record, self._kinds)
        key = tuple(row.get(name) for name in self._keys)
        self._rows[object() if None in key else key] = row

    def resource(self, settings: str) -> dlt.sources.DltResource:
        """Give what waits to dlt."""
        rows, self._rows = self._rows, {}
        state, self.state = self.state, None

        def read() -> Iterator[pa.Table]:
            if state is not None:
                saved = {"settings": settings, "state": json.dumps(state)}
                dlt.current.resource_state().update(saved)
            table = pa.Table.from_pylist(list(rows.values()), schema=self._schema)
            rows.clear()
            yield table

        # `add` has merged by key already, and dlt would merge all rows without a key.
        merge: Any = {"disposition": "merge", "strategy": "delete-insert", "deduplicated": True}
        return dlt.resource(
            read,
            name=self.name,
            primary_key=self._keys,
            columns=self._hints,
            write_disposition=merge,
        )


class Database:
    """The tables of all streams, in a destination of dlt."""

    def __init__(
        self, destination: Any, dataset: str, folder: Path, file_format: Any = None
    ) -> None:
        self._file_format = file_format
        self._pipeline = dlt.pipeline(
            _NAME, destination=destination, dataset_name=dataset, pipelines_dir=str(folder)
        )
        self._pipeline.sync_destination()

    def saved_states(self, tables: Sequence[Table]) -> list[dict[str, str]]:
        """Give the last state, and the settings it belongs to, of each stream with a table.

        Tables and columns that a user has dropped are created again.
        """
        there = []
        for table in tables:
            with contextlib.suppress(DatabaseUndefinedRelation):
                self.query(f"SELECT 1 FROM {table.name} WHERE 1 = 0")
                there.append(table.name)
        if self._pipeline.default_schema_name:
            with self._pipeline.destination_client() as client:
                client.update_stored_schema(force=True)
        elif there:
            raise SyncError(
                "An earlier version, or another program, has written the tables "
                f"{', '.join(there)}, with other columns. Drop them, or use another database."
            )
        states = self._pipeline.state.get("sources", {}).get(_NAME, {}).get("resources", {})
        return [states[name] for name in there if name in states]

    def load(self, messages: Messages, tables: Sequence[Table], settings: str) -> dict[str, int]:
        """Write records and the states behind them; count the records by stream."""
        by_name = {table.name: table for table in tables}
        read = dict.fromkeys(by_name, 0)
        waiting = 0
        for message, size in messages:
            match message:
                case {"record": {"stream": name, "data": record}}:
                    by_name[name].add(record)
                    read[name] += 1
                case {"state": {"stream": {"stream_descriptor": {"name": name}}} as state}:
                    by_name[name].state = state
            waiting += size
            if waiting >= _WRITE_EVERY:
                self._write(tables, settings)
                waiting = 0
        self._write(tables, settings)
        return read

    def _write(self, tables: Sequence[Table], settings: str) -> None:
        """Write all that waits. A state never waits without the records before it."""
        source = dlt.source(lambda: [table.resource(settings) for table in tables], name=_NAME)
        self._pipeline.run(source(), loader_file_format=self._file_format)

    def query(self, statement: str) -> list[tuple[Any, ...]]:
        """Give the rows of a query."""
        with self._pipeline.sql_client() as client, client.execute_query(statement) as cursor:
            return cursor.fetchall()


@contextlib.contextmanager
def open_database(to: str, folder: Path) -> Iterator[Database]:
    """Open the database that TO names, and keep a second sync out of DuckDB and PostgreSQL."""
    if to.startswith("duckdb:"):
        path = Path(to.removeprefix("duckdb:///")).absolute()
        path.parent.mkdir(parents=True, exist_ok=True)
        with duckdb.connect(path) as file:  # which locks it
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
                raise SyncError("Another sync is writing into this database.")
            found = connection.info  # with what PGPASSWORD or ~/.pgpass gave
            login = {"username": found.user, "password": found.password or "none"}
            where = {"database": found.dbname, "host": "see query", "query": found.dsn_parameters}
            postgres = dlt.destinations.postgres(
                login | where, enable_dataset_name_normalization=False
            )
            # Through CSV files, which dlt prefers here, empty texts would become NULL.
            yield Database(postgres, schema, folder, "insert_values")
    else:
        yield Database(to, _DATASET, folder)
