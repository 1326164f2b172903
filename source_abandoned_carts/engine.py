"""Our streams in the CDK's concurrent engine: one partition each, read at once, told in order."""

import logging
import time
import traceback
from collections import deque
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from queue import Queue
from typing import Any

from airbyte_cdk.models import (
    AirbyteMessage,
    AirbyteStateBlob,
    AirbyteStateMessage,
    AirbyteStateType,
    AirbyteStreamState,
    FailureType,
    StreamDescriptor,
    Type,
)
from airbyte_cdk.sources.concurrent_source.concurrent_source import ConcurrentSource
from airbyte_cdk.sources.message import InMemoryMessageRepository
from airbyte_cdk.sources.message.concurrent_repository import ConcurrentMessageRepository
from airbyte_cdk.sources.streams.concurrent.cursor import Cursor, CursorField
from airbyte_cdk.sources.streams.concurrent.default_stream import DefaultStream
from airbyte_cdk.sources.streams.concurrent.partitions.partition import Partition
from airbyte_cdk.sources.streams.concurrent.partitions.partition_generator import PartitionGenerator
from airbyte_cdk.sources.streams.concurrent.partitions.types import QueueItem
from airbyte_cdk.sources.types import Record
from airbyte_cdk.sources.utils.slice_logger import DebugSliceLogger
from airbyte_cdk.utils.traced_exception import AirbyteTracedException

from .checkpoint import Checkpoint, Items

Reader = Callable[[], Items]

logger = logging.getLogger("airbyte.engine")

_BETWEEN_PROGRESS = 10  # seconds
_PAGES_AHEAD = 1  # of a slow destination; the CDK's own 10,000 records would only fill the memory


def make_stream(
    name: str,
    read: Reader,
    *,
    json_schema: Mapping[str, Any],
    primary_key: str | None = None,
    cursor: str | None = None,
) -> DefaultStream:
    """Make a stream for the engine; `read` is called in one of its threads."""
    return DefaultStream(
        partition_generator=_OnePartition(name, read),
        name=name,
        json_schema=json_schema,
        primary_key=[primary_key] if primary_key else [],
        cursor_field=CursorField(cursor) if cursor else None,
        logger=logging.getLogger("airbyte"),
        cursor=_NoCursor(),
    )


def run(streams: list[DefaultStream], logger: logging.Logger) -> Iterator[AirbyteMessage]:
    """Read all streams at once. One that fails leaves the others whole and fails the run."""
    if not streams:
        return  # the engine would wait for ever
    # States and warnings take the same queue as the records: none may overtake what it covers.
    queue = _PagesQueue(maxsize=_PAGES_AHEAD)
    engine = ConcurrentSource.create(
        num_workers=len(streams) + 1,
        initial_number_of_partitions_to_generate=len(streams),
        logger=logger,
        slice_logger=DebugSliceLogger(),
        message_repository=ConcurrentMessageRepository(queue, InMemoryMessageRepository()),
        queue=queue,
    )
    yield from engine.read(list(streams))


class _PagesQueue(Queue[Any]):
    """Takes the records by pages, and gives them one by one as the engine wants them.

    One by one on both sides, the two threads would wake each other for each record, which takes
    longer than reading its JSON. Only the engine's own thread takes from the queue.
    """

    def __init__(self, maxsize: int) -> None:
        super().__init__(maxsize)
        self._page: deque[QueueItem] = deque()

    def get(self, block: bool = True, timeout: float | None = None) -> Any:
        while not self._page:
            item = super().get(block, timeout)
            if not isinstance(item, list):
                return item
            self._page.extend(item)
        return self._page.popleft()

    def empty(self) -> bool:
        return not self._page and super().empty()


class _OnePartition(PartitionGenerator, Partition):
    """A whole stream as the one partition of itself."""

    def __init__(self, name: str, read: Reader) -> None:
        self._name = name
        self._read = read

    def generate(self) -> Iterator[Partition]:
        yield self

    def read(self) -> Iterator[Any]:  # lists of records, and states, for our queue
        given, told_at = 0, time.monotonic()
        try:
            for item in self._read():
                if isinstance(item, Checkpoint):
                    yield self._state(item)
                    continue
                yield [_Record(data, self._name) for data in item]
                given += len(item)
                if time.monotonic() - told_at >= _BETWEEN_PROGRESS:
                    logger.info(f"{self._name}: {given:,} records so far.")
                    told_at = time.monotonic()
        except AirbyteTracedException:
            raise
        except Exception as error:
            raise defect(self._name, error) from None

    def to_slice(self) -> None:
        return None

    def stream_name(self) -> str:
        return self._name

    def __hash__(self) -> int:
        return hash(self._name)

    def _state(self, checkpoint: Checkpoint) -> Any:
        state = AirbyteStreamState(
            stream_descriptor=StreamDescriptor(name=self._name),
            stream_state=AirbyteStateBlob(dict(checkpoint.state)),
        )
        return AirbyteMessage(
            type=Type.STATE,
            state=AirbyteStateMessage(type=AirbyteStateType.STREAM, stream=state),
        )


class _Record(Record):
    def __bool__(self) -> bool:
        return True  # the engine stops at the first thing that is false, such as an empty record


class _NoCursor(Cursor):
    """Nothing to do: the streams give their states themselves, between their records."""

    @property
    def state(self) -> MutableMapping[str, Any]:
        return {}

    def observe(self, record: Record) -> None: ...

    def close_partition(self, partition: Partition) -> None: ...

    def ensure_at_least_one_state_emitted(self) -> None: ...

    def should_be_synced(self, record: Record) -> bool:
        return True


def defect(what: str, error: Exception) -> AirbyteTracedException:
    """Tell of an error nobody foresaw, by its place alone: its text may quote customers' data."""
    kind = type(error).__name__
    return AirbyteTracedException(
        message=f"{what} stopped at a defect of the connector ({kind}). Please report this to its "
        "maintainers, with the log of the sync.",
        internal_message=f"{kind} at\n{''.join(traceback.format_tb(error.__traceback__))}",
        failure_type=FailureType.system_error,
    )
