"""Run generator streams at the same time in the CDK's ConcurrentSource, one partition each."""

import logging
import sys
import traceback
from collections import deque
from collections.abc import Iterator, Mapping
from queue import Empty, Queue
from typing import Any

from airbyte_cdk.models import AirbyteLogMessage, AirbyteMessage, Level, Type
from airbyte_cdk.sources.concurrent_source.concurrent_source import ConcurrentSource
from airbyte_cdk.sources.connector_state_manager import ConnectorStateManager
from airbyte_cdk.sources.message import InMemoryMessageRepository
from airbyte_cdk.sources.streams.concurrent.cursor import FinalStateCursor
from airbyte_cdk.sources.streams.concurrent.default_stream import DefaultStream
from airbyte_cdk.sources.streams.concurrent.partitions.partition import Partition
from airbyte_cdk.sources.streams.concurrent.partitions.partition_generator import PartitionGenerator
from airbyte_cdk.sources.types import Record
from airbyte_cdk.sources.utils.slice_logger import DebugSliceLogger
from airbyte_cdk.utils.traced_exception import AirbyteTracedException

from .responses import REPORT

_SILENCE = 60  # seconds without a message until a log line shows that the sync is alive

Items = Iterator[list[dict[str, Any]] | dict[str, Any]]
"""A stream yields pages of records (lists) and states (dicts), which cover all records before."""


def run(
    streams: Mapping[str, Items], states: ConnectorStateManager, logger: logging.Logger
) -> Iterator[AirbyteMessage]:
    """Read all streams at once. If a stream fails, the others finish and then the run fails."""
    if not streams:
        return  # ConcurrentSource.create would raise ValueError
    # Holds only the engine's own logs. States go through the queue, after their records.
    messages = InMemoryMessageRepository()
    engine = ConcurrentSource.create(
        num_workers=len(streams) + 1,
        initial_number_of_partitions_to_generate=len(streams),
        logger=logger,
        slice_logger=DebugSliceLogger(),
        message_repository=messages,
        queue=_PageQueue(maxsize=1),  # a longer queue would only use more memory
    )
    yield from engine.read(
        [
            DefaultStream(
                partition_generator=_WholeStream(name, items, states),
                name=name,
                json_schema={},
                primary_key=[],
                cursor_field=None,
                logger=logger,
                cursor=_NoCursor(name, None, messages),
            )
            for name, items in streams.items()
        ]
    )


def unexpected_error(where: str, error: Exception) -> AirbyteTracedException:
    """Describe a defect of the connector without the error's text, which may quote customers."""
    return AirbyteTracedException(
        message=f"{where} stopped because of a defect in the connector ({type(error).__name__}). "
        f"{REPORT}",
        internal_message="".join(traceback.format_tb(error.__traceback__)),
    )


class _PageQueue(Queue[Any]):
    """Takes pages of records and returns single records, which the engine expects.

    Passing single records between threads would cost more than parsing their JSON.
    """

    def __init__(self, maxsize: int) -> None:
        super().__init__(maxsize)
        self._records: deque[Any] = deque()  # used by the engine's own thread only

    def get(self, block: bool = True, timeout: float | None = None) -> Any:
        while not self._records:
            if super().empty():
                sys.stdout.flush()  # or the CDK would buffer the last messages during the wait
            try:
                item = super().get(block, _SILENCE)
            except Empty:
                log = AirbyteLogMessage(level=Level.INFO, message="The sync waits for a response.")
                return AirbyteMessage(type=Type.LOG, log=log)
            if not isinstance(item, list):
                return item
            self._records.extend(item)
        return self._records.popleft()

    def empty(self) -> bool:
        return not self._records and super().empty()


class _WholeStream(PartitionGenerator, Partition):
    """Presents a stream as one partition."""

    def __init__(self, name: str, items: Items, states: ConnectorStateManager) -> None:
        self._name = name
        self._items = items
        self._states = states

    def generate(self) -> Iterator[Partition]:
        yield self

    def read(self) -> Iterator[Any]:
        """Yield pages of records and states for the queue."""
        try:
            for item in self._items:
                if isinstance(item, dict):
                    self._states.update_state_for_stream(self._name, None, item)
                    yield self._states.create_state_message(self._name, None)
                else:
                    yield [_Record(data, self._name) for data in item]
        except AirbyteTracedException:
            raise
        except Exception as error:
            raise unexpected_error(self._name, error) from None

    def to_slice(self) -> None:
        return None

    def stream_name(self) -> str:
        return self._name

    def __hash__(self) -> int:
        return hash(self._name)


class _Record(Record):
    def __bool__(self) -> bool:
        return True  # the engine stops at the first false item, such as an empty record


class _NoCursor(FinalStateCursor):
    def ensure_at_least_one_state_emitted(self) -> None:
        """Emit nothing: the streams yield their own states."""
