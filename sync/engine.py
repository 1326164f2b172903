"""One sync by PyAirbyte, with what keeps its data whole.

PyAirbyte runs the connector, stages the records, merges them by primary key, and keeps the states
beside the tables. What it does otherwise than a user would expect is led around here, each by the
smallest part of it that can be replaced; much of that is not public, so its version is pinned.
"""

import contextlib
import gzip
import hashlib
import json
import tempfile
from collections import Counter
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, ClassVar

import airbyte.logs
import sqlalchemy
from airbyte._executors.local import PathExecutor
from airbyte._message_iterators import AirbyteMessageIterator
from airbyte._processors.sql.duckdb import DuckDBSqlProcessor
from airbyte._processors.sql.postgres import PostgresSqlProcessor
from airbyte.caches import CacheBase, DuckDBCache
from airbyte.exceptions import AirbyteConnectorMissingCatalogError, AirbyteSubprocessFailedError
from airbyte.progress import ProgressStyle, ProgressTracker
from airbyte.records import StreamRecordHandler
from airbyte.secrets.base import SecretString
from airbyte.shared.catalog_providers import CatalogProvider
from airbyte.shared.sql_processor import SqlProcessorBase, SQLRuntimeError
from airbyte.shared.state_providers import StateProviderBase, StaticInputState
from airbyte.sources.base import Source
from airbyte_protocol.models import (
    AirbyteCatalog,
    AirbyteMessage,
    AirbyteRecordMessage,
    AirbyteStreamStatus,
    Level,
    TraceType,
)
from psycopg.types.json import Jsonb
from sqlalchemy.engine import URL

from .columns import OTHERS, Kind, fit, kinds

airbyte.logs.AIRBYTE_LOGGING_ROOT = None  # write no log files: what matters is shown

_WRITE_EVERY = 5_000
"""Records of a stream after which they are written, so that a sync that is killed goes on there."""


_NOT_STAGED = (
    "What was read could not be kept until it was written. Is the disk full where temporary files "
    "are (TMPDIR)? The next sync goes on from what is in the database."
)


class SyncError(Exception):
    """A sentence for the person who runs the sync."""


@dataclass(frozen=True)
class Result:
    """What a sync has done: by stream, records read and rows in the table now; what went wrong."""

    read: dict[str, int]
    rows: dict[str, int]
    problems: list[str]


def sync(
    connector: Path,
    config: Path,
    database: URL,
    streams: list[str] | None = None,
    *,
    watch: Callable[[Counter[str]], None],
    warn: Callable[[str], None],
) -> Result:
    """Read streams (None: all there are) from where the last sync ended, and merge them.

    `watch` is called with the records read so far, `warn` with what a person should know. What was
    read before a failure is written, and its state saved. Raises SyncError if nothing can be read,
    and SQLAlchemy's errors.
    """
    source = _Connector(connector, config, watch, warn)
    source.choose(streams)
    with (
        tempfile.TemporaryDirectory() as folder,
        _open(database, Path(folder)) as cache,
        _alone(cache),
    ):
        if source.has_other_settings(cache):
            warn(
                "This database was written with other settings. All is read again and merged; rows "
                "that these settings would not give stay. To be rid of them, drop the tables."
            )
        source.read_into(cache)
        chosen = source.get_selected_streams()
        rows = {
            name: cache.run_sql_query(
                f"SELECT count(*) AS rows FROM {cache.processor._fully_qualified(name)}"
            )[0]["rows"]
            for name in chosen
            if name in cache.processor._get_tables_list()
        }
        return Result({name: source.records[name] for name in chosen}, rows, source.problems())


class _Connector(Source):
    """The connector as a command, with the user's own settings file."""

    def __init__(
        self,
        command: Path,
        config: Path,
        watch: Callable[[Counter[str]], None],
        warn: Callable[[str], None],
    ) -> None:
        # States are kept by this name: with other settings (another shop, an earlier start, other
        # filters) there is none, and all is read again.
        settings = hashlib.sha256(config.read_bytes()).hexdigest()[:12]
        name = f"{command.name} {settings}"
        self._config_file = config
        self._watch = watch
        self._warn = warn
        self.records: Counter[str] = Counter()
        self._errors: dict[str | None, str] = {}
        self._ended: dict[str, AirbyteStreamStatus] = {}
        self._exit_code = 0
        super().__init__(PathExecutor(name, path=command), name, {})

    def choose(self, streams: list[str] | None) -> None:
        """Select streams; raise SyncError if the connector has not got them."""
        try:
            available = self.get_available_streams()
        except AirbyteConnectorMissingCatalogError:
            raise SyncError(
                "\n".join(self.problems()) or "The connector gave no streams."
            ) from None
        unknown = set(streams or ()) - set(available)
        if unknown:
            raise SyncError(
                f"There is no stream {', '.join(sorted(unknown))} with these settings. There is: "
                f"{', '.join(available) or 'none'}."
            )
        self._selected_stream_names = streams or available

    def has_other_settings(self, cache: CacheBase) -> bool:
        """Tell whether the last sync into this database had other settings."""
        if "_airbyte_state" not in cache.processor._get_tables_list():
            return False
        states = cache.processor._fully_qualified("_airbyte_state")
        saved = cache.run_sql_query(f"SELECT source_name FROM {states}")
        return any(state["source_name"] != self.name for state in saved)

    def read_into(self, cache: CacheBase) -> None:
        """Read the selected streams into a database."""
        self._read_to_cache(
            cache=cache,
            catalog_provider=CatalogProvider(self.get_configured_catalog()),
            stream_names=self._selected_stream_names,
            state_provider=cache.get_state_provider(self.name),
            state_writer=cache.get_state_writer(self.name),
            skip_validation=True,  # the connector does, with sentences
            progress_tracker=ProgressTracker(
                ProgressStyle.NONE, source=self, cache=cache, destination=None
            ),
        )

    def problems(self) -> list[str]:
        """What went wrong, in the connector's own sentences."""
        # The last error of a read is of no stream: the CDK sums up what was said before.
        of_streams = [error for stream, error in self._errors.items() if stream]
        said = of_streams or list(self._errors.values())
        complete = {AirbyteStreamStatus.COMPLETE}
        whole = {self._ended.get(stream) for stream in self._selected_stream_names} <= complete
        if not said and (self._exit_code or not whole):
            said = [f"The connector ended before it had finished (exit code {self._exit_code})."]
        return said

    def _discover(self) -> AirbyteCatalog:
        catalog = super()._discover()
        for stream in catalog.streams:
            # PyAirbyte leaves out what is not in the schema.
            stream.json_schema["properties"][OTHERS] = {"type": ["null", "object"]}
        return catalog

    def _log_incremental_streams(self, *, incremental_streams: set[str] | None = None) -> None:
        """Say nothing."""

    def _execute(
        self,
        args: list[str],
        stdin: IO[str] | AirbyteMessageIterator | None = None,
        *,
        progress_tracker: ProgressTracker | None = None,
    ) -> Generator[AirbyteMessage, None, None]:
        """Run the connector. Unlike PyAirbyte's, this

        - gives the user's own settings file, where PyAirbyte copies the keys into a file that all
          may read;
        - stops at a message that cannot be read, where PyAirbyte logs the record and goes on;
        - ends at an error, or at Ctrl-C, as it ends otherwise: what came before is written.
        """
        if "--config" in args:
            args[args.index("--config") + 1] = str(self._config_file)
        try:
            for line in self.executor.execute(args):
                try:
                    message = AirbyteMessage.model_validate(json.loads(line))
                except ValueError:
                    raise SyncError("The connector wrote what is no Airbyte message.") from None
                self._heed(message)
                yield message
        except (AirbyteSubprocessFailedError, KeyboardInterrupt) as error:
            if isinstance(error, KeyboardInterrupt) or isinstance(
                error.__context__, KeyboardInterrupt
            ):
                self._errors = {None: "Stopped."}
            else:
                self._exit_code = error.exit_code or 1

    def _heed(self, message: AirbyteMessage) -> None:
        if message.record:
            self.records[message.record.stream] += 1
            self._watch(self.records)
        elif message.log and (
            message.log.level is Level.WARN or "Trying again in" in message.log.message
        ):
            self._warn(message.log.message)
        elif message.trace and message.trace.type is TraceType.ERROR and message.trace.error:
            stream = message.trace.error.stream_descriptor
            self._errors.setdefault(stream.name if stream else None, message.trace.error.message)
        elif message.trace and (ended := message.trace.stream_status):
            self._ended[ended.stream_descriptor.name] = ended.status


class _Processor(SqlProcessorBase):
    """Tables with a column for each field of the schema, by their names in lower case."""

    types: ClassVar[dict[Kind, str]]
    row_id: ClassVar[str]
    """A column of the loading table, greater for rows that were written later."""
    own_row_id: ClassVar[list[str]] = []
    """Its definition, where the database has none by itself."""

    def __init__(self, **arguments: Any) -> None:
        super().__init__(**arguments)
        self._kinds: dict[str, dict[str, Kind]] = {}
        self._unwritten: Counter[str] = Counter()

    def process_record_message(
        self,
        record_msg: AirbyteRecordMessage,
        stream_record_handler: StreamRecordHandler,
        progress_tracker: ProgressTracker,
    ) -> None:
        """Stage a record; write what is staged now and then, where PyAirbyte waits for the end."""
        stream = record_msg.stream
        if self._unwritten[stream] >= _WRITE_EVERY:
            for batch in self.write_stream_data(stream, progress_tracker=progress_tracker):
                batch.delete_files()
        self._unwritten[stream] += 1
        record_msg.data = fit(record_msg.data, self._kinds_of(stream))
        super().process_record_message(record_msg, stream_record_handler, progress_tracker)

    def _kinds_of(self, stream: str) -> dict[str, Kind]:
        if stream not in self._kinds:
            self._kinds[stream] = kinds(self.catalog_provider.get_stream_json_schema(stream))
        return self._kinds[stream]

    def _get_sql_column_definitions(self, stream_name: str) -> dict[str, str]:  # type: ignore[misc,override]
        """PyAirbyte's types drop the offset of dates and round numbers."""
        columns: dict[str, Kind] = {
            **self._kinds_of(stream_name),
            OTHERS: "object",
            "_airbyte_raw_id": "text",
            "_airbyte_extracted_at": "timestamp",
            "_airbyte_meta": "object",
        }
        return {self.normalizer.normalize(name): self.types[kind] for name, kind in columns.items()}

    def _write_files_to_new_table(self, files: list[Path], stream_name: str, batch_id: str) -> str:
        table = f"_airbyte_loading_{stream_name}"
        name = self._fully_qualified(table)
        self._drop_temp_table(table)  # of a sync that was killed
        columns = self._get_sql_column_definitions(stream_name)
        defined = [f'"{column}" {kind}' for column, kind in columns.items()]
        self._create_table(table, ", ".join(defined + self.own_row_id))
        self._load(name, columns, files)
        # PyAirbyte does not notice when the disk with its temporary files is full.
        staged = self._unwritten.pop(stream_name, 0)
        if self._count(name) != staged:
            raise SyncError(_NOT_STAGED)
        # PyAirbyte merges all versions of a record that came in one sync: keep the last one.
        keys = self.catalog_provider.get_primary_keys(stream_name)
        same = " AND ".join(f'earlier."{key}" = later."{key}"' for key in keys)
        self._execute_sql(
            f"DELETE FROM {name} AS earlier USING {name} AS later "
            f"WHERE {same} AND earlier.{self.row_id} < later.{self.row_id}"
        )
        if self.own_row_id:
            self._execute_sql(f"ALTER TABLE {name} DROP COLUMN {self.row_id}")
        return table

    def _count(self, table: str) -> int:
        with self.get_sql_connection() as connection:
            return int(connection.scalar(sqlalchemy.text(f"SELECT count(*) FROM {table}")) or 0)

    def _fully_qualified(self, table_name: str) -> str:
        return f'"{self.sql_config.schema_name}"."{table_name}"'

    def _ensure_schema_exists(self) -> None:
        """It does: it is the one that the database itself gives as the current one."""

    def _ensure_compatible_table_schema(self, stream_name: str, table_name: str) -> None:
        """PyAirbyte looks at the names of the columns only; databases would change the values."""
        loading = self._column_types(f"_airbyte_loading_{stream_name}")
        there = self._column_types(table_name)
        changed = [name for name in loading if there.get(name, loading[name]) != loading[name]]
        if changed:
            raise SyncError(
                f"The table {table_name} has columns of another type than this version writes "
                f"({', '.join(changed)}). Drop the table: the next sync fills it anew."
            )
        super()._ensure_compatible_table_schema(stream_name, table_name)

    def _column_types(self, table: str) -> dict[str, str]:
        return {
            column["column_name"]: column["column_type"] for column in self.fetch_column_info(table)
        }

    def _load(self, table: str, columns: dict[str, str], files: list[Path]) -> None:
        """Fill a table from files with a JSON object on each line."""
        raise NotImplementedError


class _DuckDBProcessor(_Processor, DuckDBSqlProcessor):
    types: ClassVar[dict[Kind, str]] = {
        "text": "VARCHAR",
        "timestamp": "TIMESTAMP WITH TIME ZONE",
        "number": "DOUBLE",
        "integer": "BIGINT",
        "boolean": "BOOLEAN",
        "array": "JSON",
        "object": "JSON",
        "json": "JSON",
    }
    row_id = "rowid"

    def _load(self, table: str, columns: dict[str, str], files: list[Path]) -> None:
        names = ", ".join(f'"{name}"' for name in columns)
        types = ", ".join(f"\"{name}\": '{kind}'" for name, kind in columns.items())
        paths = ", ".join(f"'{file}'" for file in files)
        # The connector takes answers of up to 64 MB.
        statement = (
            f"INSERT INTO {table} ({names}) SELECT {names} FROM read_json([{paths}], "
            f"format = 'newline_delimited', maximum_object_size = {2**27}, columns = {{{types}}})"
        )
        try:
            self._execute_sql(statement)
        except SQLRuntimeError as error:
            if isinstance(error.__context__, sqlalchemy.exc.OperationalError):
                raise
            raise SyncError(_NOT_STAGED) from None


class _PostgresProcessor(_Processor, PostgresSqlProcessor):
    types: ClassVar[dict[Kind, str]] = {
        "text": "TEXT",
        "timestamp": "TIMESTAMP WITH TIME ZONE",
        "number": "NUMERIC",
        "integer": "BIGINT",
        "boolean": "BOOLEAN",
        "array": "JSONB",
        "object": "JSONB",
        "json": "JSONB",
    }
    row_id = "_airbyte_row"
    own_row_id: ClassVar[list[str]] = ["_airbyte_row BIGINT GENERATED ALWAYS AS IDENTITY"]

    def _load(self, table: str, columns: dict[str, str], files: list[Path]) -> None:
        """PyAirbyte's way leads through pandas, which guesses types anew."""
        names = ", ".join(f'"{name}"' for name in columns)
        with self.get_sql_connection() as connection:
            cursor = connection.connection.cursor()
            with cursor.copy(f"COPY {table} ({names}) FROM STDIN") as copy:
                for row in _rows(files):
                    copy.write_row(
                        [
                            value if value is None or kind != "JSONB" else Jsonb(value)
                            for value, kind in ((row.get(n), k) for n, k in columns.items())
                        ]
                    )


def _rows(files: list[Path]) -> Iterator[dict[str, Any]]:
    try:
        for file in files:
            with gzip.open(file, "rt", encoding="utf-8") as lines:
                for line in lines:
                    row = json.loads(line)
                    # PostgreSQL's texts cannot hold this character.
                    yield _without_nul(row) if "\\u0000" in line else row
    except (EOFError, gzip.BadGzipFile, ValueError):
        raise SyncError(_NOT_STAGED) from None


def _without_nul(value: Any) -> Any:
    match value:
        case str():
            return value.replace("\x00", "\ufffd")
        case list():
            return [_without_nul(each) for each in value]
        case dict():
            return {_without_nul(name): _without_nul(each) for name, each in value.items()}
    return value


class _Tables(CacheBase):
    def get_state_provider(
        self, source_name: str, *, refresh: bool = True, destination_name: str | None = None
    ) -> StateProviderBase:
        """A table that was dropped is filled anew: its state no longer counts."""
        states = super().get_state_provider(source_name).state_message_artifacts
        tables = self.processor._get_tables_list()
        return StaticInputState(
            [state for state in states if state.stream.stream_descriptor.name in tables]
        )


class _DuckDB(_Tables, DuckDBCache):
    _sql_processor_class: ClassVar[type[SqlProcessorBase]] = _DuckDBProcessor


class _Postgres(_Tables):
    url: SecretString
    _sql_processor_class: ClassVar[type[SqlProcessorBase]] = _PostgresProcessor

    def get_sql_alchemy_url(self) -> SecretString:
        return self.url

    def get_database_name(self) -> str:
        return sqlalchemy.make_url(self.url).database or ""


def _open(database: URL, folder: Path) -> CacheBase:
    """Open a database, with a folder for what is staged."""
    if database.drivername == "duckdb":
        path = Path(database.database or "")
        return _DuckDB(db_path=path, schema_name="main", cache_dir=folder)
    engine = sqlalchemy.create_engine(database)
    with engine.connect() as connection:
        schema = connection.scalar(sqlalchemy.text("SELECT current_schema()"))
        encoding = connection.scalar(sqlalchemy.text("SHOW server_encoding"))
    engine.dispose()
    if schema is None:
        raise SyncError("No schema of this user's search path exists: create one, or set the path.")
    if encoding != "UTF8":
        raise SyncError(
            f"The database is encoded in {encoding}, and carts may hold any character:"
            " take one that is encoded in UTF8."
        )
    url = SecretString(database.render_as_string(hide_password=False))
    return _Postgres(url=url, schema_name=schema, cache_dir=folder)


@contextlib.contextmanager
def _alone(cache: CacheBase) -> Iterator[None]:
    """Keep a second sync out; DuckDB's own lock on the file does so there."""
    if not isinstance(cache, _Postgres):
        yield
        return
    lock = sqlalchemy.text("SELECT pg_try_advisory_lock(hashtext('source-abandoned-carts'))")
    engine = cache.get_sql_engine().execution_options(isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        if not connection.scalar(lock):
            raise SyncError("Another sync is writing into this database.")
        yield
