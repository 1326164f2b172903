"""Writes rows and states into a database through dlt.

dlt receives Arrow tables with the columns of the stream's schema, so it infers no types. It merges
by primary key, and saves each state in the same load as the rows that the state covers.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dlt
import pyarrow as pa
from dlt.destinations.fs_client import FSClientBase
from dlt.destinations.job_client_impl import SqlJobClientBase

from .columns import OTHERS, Kind, column_name, kind_of, to_row
from .connector import Messages
from .errors import SyncError

_NAME = "abandoned_carts"  # of the pipeline, its source and its schema

_STATES = 2
"""How many states are kept."""

_DIALECTS = {  # the key as text, a hash of the columns, and a condition for a list of keys
    "duckdb": ("CAST({key} AS TEXT)", "HASH({columns})", "{key} = ANY(%s)"),
    "postgres": (
        "CAST({key} AS TEXT)",
        "HASHTEXTEXTENDED(CAST(ROW({columns}) AS TEXT), 0)",
        "{key} = ANY(%s)",
    ),
    "bigquery": (
        "CAST({key} AS STRING)",
        "FARM_FINGERPRINT(TO_JSON_STRING(STRUCT({columns})))",
        "{key} IN UNNEST(%s)",
    ),
}
"""By the name of the destination. In others, changed rows are not counted."""

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
    """A stream's table: its columns, and the rows and state that are pending (not written yet).

    `fingerprint` identifies the settings that the state depends on.
    """

    def __init__(self, stream: Mapping[str, Any], fingerprint: str) -> None:
        self.stream = stream
        self._fingerprint = fingerprint
        self.name: str = stream["name"]
        fields = stream["json_schema"]["properties"]
        self._kinds = {field: kind_of(declared) for field, declared in fields.items()}
        ((key,),) = stream["source_defined_primary_key"]  # each stream has one key of one field
        self.key = column_name(key)
        columns = {column_name(field): _ARROW.get(kind) for field, kind in self._kinds.items()}
        columns[OTHERS] = None
        self._schema = pa.schema([(name, type_ or pa.string()) for name, type_ in columns.items()])
        self._hints: Any = {
            name: {"nullable": True} if type_ else {"nullable": True, "data_type": "json"}
            for name, type_ in columns.items()
        }
        self._rows: dict[Any, dict[str, Any]] = {}  # by key
        self._rows_without_key: list[dict[str, Any]] = []
        self.state: Mapping[str, Any] | None = None
        self.rows_before = 0
        self.columns_before: list[str] = []
        self.changed: set[str] = set()
        self._created: set[str] = set()

    @property
    def columns(self) -> list[str]:
        return list(self._hints)

    @property
    def pending_keys(self) -> list[Any]:
        return list(self._rows)

    def compare(self, before: Mapping[str, int], after: Mapping[str, int]) -> None:
        """Add the rows whose hash changed to `changed`, unless this sync has created them."""
        self._created |= after.keys() - before.keys()
        differing = {key for key, digest in before.items() if after.get(key) != digest}
        self.changed |= differing - self._created

    def add(self, record: Mapping[str, Any]) -> None:
        """Add a record to the pending rows. It replaces a pending row with the same key."""
        row = to_row(record, self._kinds)
        key = row.get(self.key)
        if key is None:
            self._rows_without_key.append(row)
        else:
            self._rows[key] = row

    def resource(self) -> dlt.sources.DltResource:
        """Return the pending rows and state as a dlt resource, and clear them."""
        rows = [*self._rows.values(), *self._rows_without_key]
        self._rows, self._rows_without_key = {}, []
        state, self.state = self.state, None

        def read() -> Iterator[pa.Table]:
            if state is not None:
                saved = {"settings": self._fingerprint, "state": json.dumps(state)}
                dlt.current.resource_state().update(saved)
            table = pa.Table.from_pylist(rows, schema=self._schema)
            rows.clear()
            yield table

        # `add` has deduplicated the rows by key. dlt would keep only one row without a key.
        merge: Any = {"disposition": "merge", "strategy": "delete-insert", "deduplicated": True}
        return dlt.resource(
            read,
            name=self.name,
            primary_key=self.key,
            columns=self._hints,
            write_disposition=merge,
        )


@dataclass
class Summary:
    """What a sync did to a stream's table. `changed` is None if it cannot be counted."""

    read: int
    new: int
    changed: int | None
    rows: int


class Database:
    """The tables of all streams, in a dlt destination. `location` names it for users."""

    def __init__(
        self,
        destination: Any,
        dataset: str,
        folder: Path,
        location: str,
        file_format: Any = None,
    ) -> None:
        self.location = location
        self._file_format = file_format
        self._pipeline = dlt.pipeline(
            _NAME, destination=destination, dataset_name=dataset, pipelines_dir=str(folder)
        )
        self._dialect = _DIALECTS.get(self._pipeline.destination.destination_name)

    def saved_states(self, tables: Sequence[Table]) -> dict[str, dict[str, str]]:
        """Return the last state of each stream that has a table, with the fingerprint of its sync.

        Tables and columns that a user dropped are created again. SyncError is raised if another
        program has created one of the tables.
        """
        names = [table.name for table in tables]
        with self._client() as client:
            schema = client.schema
            found = _columns(client, [*names, schema.version_table_name, schema.state_table_name])
            has_record = bool(found[schema.version_table_name])
            stored = client.get_stored_schema(_NAME) if has_record else None
        if found[schema.state_table_name]:
            self._pipeline.sync_destination()
        created = json.loads(stored.schema)["tables"] if stored else {}
        # A sync that was killed may have created a table, but no record of it. Only this loader
        # writes a column of this name.
        unmarked = [name for name in names if found[name] and OTHERS not in found[name]]
        if foreign := [name for name in unmarked if name not in created]:
            raise SyncError(
                f"Another program, or an earlier version, has written {', '.join(foreign)} in "
                f"{self.location}. Rename or drop these tables, or use another database."
            )
        created_again: Mapping[str, set[str]] = {}
        if self._pipeline.default_schema_name:
            created_again = self._create_dropped(names, found)
        elif stored:
            # No sync has ended yet. dlt would trust the record, and not look for the tables.
            with self._client() as client:
                client.drop_tables()  # no table, but the record
        for table in tables:
            table.rows_before = self._count(table) if found[table.name] else 0
            # A later version of the connector can have more fields.
            existing = found[table.name] | created_again.get(table.name, set())
            table.columns_before = [name for name in table.columns if name in existing]
        states = self._pipeline.state.get("sources", {}).get(_NAME, {}).get("resources", {})
        return {name: states[name] for name in names if found[name] and name in states}

    def _client(self) -> Any:
        return self._pipeline.destination_client()

    def _create_dropped(
        self, names: Sequence[str], found: Mapping[str, set[str]]
    ) -> dict[str, set[str]]:
        """Create tables and columns again that a user dropped. Return the columns by table."""
        schema = self._pipeline.default_schema
        known = {
            name: set(schema.get_table_columns(name)) for name in names if name in schema.tables
        }
        if any(columns - found[name] for name, columns in known.items()):
            with self._client() as client:
                client.update_stored_schema(list(known), force=True)
        return known

    def load(self, messages: Messages, tables: Sequence[Table]) -> dict[str, Summary]:
        """Write the records and states, and return what changed by stream."""
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
                self._write(tables)
                pending = 0
        self._write(tables)
        return {name: self._summary(by_name[name], count) for name, count in read.items()}

    def _summary(self, table: Table, read: int) -> Summary:
        rows = self._count(table)
        changed = len(table.changed) if self._dialect else None
        return Summary(read, rows - table.rows_before, changed, rows)

    def _write(self, tables: Sequence[Table]) -> None:
        """Write all pending rows and states. No state is written before its records."""
        digests = {table: self._digests(table, table.pending_keys) for table in tables}
        keys = {table: table.pending_keys for table in tables}
        source = dlt.source(lambda: [table.resource() for table in tables], name=_NAME)
        # Not `run`, which would read the state and the schema again.
        self._pipeline.extract(source(), loader_file_format=self._file_format)
        self._pipeline.normalize()
        self._pipeline.load()
        for table in tables:
            table.compare(digests[table], self._digests(table, keys[table]))
        self._delete_old_states()

    def _digests(self, table: Table, keys: list[Any]) -> dict[str, int]:
        """Return a hash of each row with one of these keys, if the table had rows before."""
        if not (self._dialect and table.rows_before and keys):
            return {}
        with self._pipeline.sql_client() as client:
            key, *columns = map(client.escape_column_name, [table.key, *table.columns_before])
            text, digest, condition = (
                each.format(key=key, columns=", ".join(columns)) for each in self._dialect
            )
            name = client.make_qualified_table_name(table.name)
            statement = f"SELECT {text}, {digest} FROM {name} WHERE {condition}"
            with client.execute_query(statement, keys) as cursor:
                return dict(cursor.fetchall())

    def _delete_old_states(self) -> None:
        """Keep the newest states. dlt adds one with each load, and reads only the last."""
        if not self._dialect:
            return
        with self._client() as client:
            states, loads = (
                client.sql_client.make_qualified_table_name(name)
                for name in (client.schema.state_table_name, client.schema.loads_table_name)
            )
            found = client.sql_client.execute_sql(
                f"SELECT s._dlt_load_id, l.status FROM {states} AS s LEFT JOIN {loads} AS l"
                f" ON l.load_id = s._dlt_load_id WHERE s.pipeline_name = %s ORDER BY 1 DESC",
                _NAME,
            )
            # The state of an interrupted load has no load with a status, and does not count.
            newest = [load_id for load_id, status in found if status == 0][:_STATES]
            if newest and len(found) > len(newest):
                kept = ", ".join(["%s"] * len(newest))
                old = f"pipeline_name = %s AND _dlt_load_id NOT IN ({kept})"
                client.sql_client.execute_sql(f"DELETE FROM {states} WHERE {old}", _NAME, *newest)

    def _count(self, table: Table) -> int:
        with self._pipeline.sql_client() as client:
            name = client.make_qualified_table_name(table.name)
            with client.execute_query(f"SELECT COUNT(*) FROM {name}") as cursor:
                ((rows,),) = cursor.fetchall()
            return int(rows)

    def query(self, statement: str) -> list[tuple[Any, ...]]:
        """Return the rows of a query."""
        with self._pipeline.sql_client() as client, client.execute_query(statement) as cursor:
            return cursor.fetchall()


def _columns(client: Any, tables: Sequence[str]) -> dict[str, set[str]]:
    """Return the columns of these tables. A table that does not exist has none."""
    found: dict[str, set[str]] = {table: set() for table in tables}
    if not client.is_storage_initialized():
        return found
    if isinstance(client, SqlJobClientBase):
        return found | {table: set(columns) for table, columns in client.get_storage_tables(tables)}
    if isinstance(client, FSClientBase):  # files have no columns of their own
        return {table: {OTHERS} if client.list_table_files(table) else set() for table in tables}
    return found
