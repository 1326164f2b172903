"""Read all streams at the same time, one thread each, and put their messages in order.

A stream's thread turns each page of records into one text. A queue passes texts and states to the
loop in `run`, which yields them with the statuses and errors that the Airbyte protocol requires.
Source: https://docs.airbyte.com/platform/understanding-airbyte/airbyte-protocol
"""

import logging
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from queue import Empty, Queue
from threading import Thread
from typing import Any, Protocol

import orjson
from airbyte_cdk.models import (
    AirbyteMessage,
    AirbyteMessageSerializer,
    AirbyteStateBlob,
    AirbyteStateMessage,
    AirbyteStateStats,
    AirbyteStateType,
    AirbyteStreamState,
    AirbyteStreamStatus,
    StreamDescriptor,
    Type,
)
from airbyte_cdk.utils.stream_status_utils import as_airbyte_message
from airbyte_cdk.utils.traced_exception import AirbyteTracedException

from .errors import config_error, system_error, unexpected_error
from .issues import REPORT

_SECONDS_BETWEEN_REPORTS = 60

Items = Iterator[Iterable[dict[str, Any]] | dict[str, Any]]
"""A stream yields pages of records (iterables) and states (dicts), which cover all records before.

The engine reads a page to its end before it asks for the next item. A stream can thus yield a
generator that lets go of each record as it is encoded, while the processor still has it at hand.
"""


class Stream(Protocol):
    """A stream, as the engine reads it."""

    name: str
    progress: str
    """What the current read has done, such as "3 pages and 150 carts read". It is logged."""

    def read(self, saved: Mapping[str, Any] | None) -> Items:
        """Read the stream once. What is yielded is used up before this resumes: see Items.

        `saved` is the last state, {} on the first sync, or None for a full refresh. Raises
        AirbyteTracedException if the stream cannot be read to its end.
        """


@dataclass(frozen=True)
class RecordLines:
    """A page of RECORD messages of one stream, as lines of JSON in UTF-8."""

    count: int
    lines: bytes

    @classmethod
    def of(cls, stream: str, page: Iterable[dict[str, Any]]) -> "RecordLines":
        """Return the messages of a page. Raises AirbyteTracedException if a record is too deep."""
        texts = [_json(stream, data) for data in page]
        if not texts:
            return cls(0, b"")
        # The CDK's models would cost as much as parsing the page, and leave out nulls.
        before = b'{"type":"RECORD","record":{"stream":%b,"data":' % orjson.dumps(stream)
        after = b',"emitted_at":%d}}\n' % (time.time_ns() // 1_000_000)  # Unix milliseconds
        return cls(len(texts), before + (after + before).join(texts) + after)

    def messages(self) -> Iterator[AirbyteMessage]:
        """Yield the messages as objects, for programs that embed the source."""
        for line in self.lines.splitlines():
            yield AirbyteMessageSerializer.load(orjson.loads(line))


def _json(stream: str, data: dict[str, Any]) -> bytes:
    try:
        return orjson.dumps(data)
    except orjson.JSONEncodeError:
        raise system_error(
            f"{stream} stopped because a record has more than 250 levels of nested values. Every "
            f"sync stops there, until the service no longer returns that record. {REPORT}"
        ) from None


def run(
    reads: Sequence[tuple[Stream, Mapping[str, Any] | None]], logger: logging.Logger
) -> Iterator[RecordLines | AirbyteMessage]:
    """Read streams, each from its saved state. Yield what is to be written, in order.

    Each state carries the number of records since the last one. If a stream fails, the others
    finish. Then AirbyteTracedException is raised.
    """
    # At most one page or state waits here while the destination is slow.
    queue: Queue[tuple[str, RecordLines | dict[str, Any] | AirbyteTracedException | None]]
    queue = Queue(maxsize=1)
    running = {stream.name: stream for stream, _ in reads}
    emitted = dict.fromkeys(running, 0)
    emitted_before_state = dict.fromkeys(running, 0)
    errors: dict[str, AirbyteTracedException] = {}
    for stream, saved in reads:
        yield _status(stream.name, AirbyteStreamStatus.STARTED)
        Thread(target=_read, args=(stream, saved, queue), name=stream.name, daemon=True).start()
    report_at = time.monotonic() + _SECONDS_BETWEEN_REPORTS
    while running:
        wait = report_at - time.monotonic()
        if wait <= 0:
            for name, stream in running.items():
                logger.info(f"{name}: {stream.progress}, {emitted[name]:,} records emitted.")
            report_at = time.monotonic() + _SECONDS_BETWEEN_REPORTS
            continue
        try:
            name, item = queue.get(timeout=wait)
        except Empty:
            continue
        if isinstance(item, RecordLines):
            if not emitted[name]:
                yield _status(name, AirbyteStreamStatus.RUNNING)
            emitted[name] += item.count
            yield item
        elif isinstance(item, dict):
            yield _state(name, item, emitted[name] - emitted_before_state[name])
            emitted_before_state[name] = emitted[name]
        else:
            del running[name]
            if item is not None:
                errors[name] = item
                yield item.as_sanitized_airbyte_message(StreamDescriptor(name=name))
            logger.info(f"Read {emitted[name]:,} records from {name}.")
            is_complete = item is None
            yield _status(
                name,
                AirbyteStreamStatus.COMPLETE if is_complete else AirbyteStreamStatus.INCOMPLETE,
            )
    if errors:
        failures = "\n".join(f"{name}: {error}" for name, error in errors.items())
        # The errors of the streams have their own types. This one only ends the command, with the
        # type that the CDK uses for it.
        raise config_error(
            f"During the sync, the following streams did not sync successfully: {failures}"
        )


def _read(stream: Stream, saved: Mapping[str, Any] | None, queue: Queue[Any]) -> None:
    """Pass a stream's pages and states to the queue, and at its end None or its error."""
    end: AirbyteTracedException | None = None
    try:
        for item in stream.read(saved):
            if isinstance(item, dict):
                queue.put((stream.name, item))
            elif (lines := RecordLines.of(stream.name, item)).count:
                queue.put((stream.name, lines))
    except AirbyteTracedException as error:
        end = error
    except Exception as error:
        end = unexpected_error(stream.name, error)
    queue.put((stream.name, end))


def _state(name: str, state: dict[str, Any], records: int) -> AirbyteMessage:
    stream = AirbyteStreamState(StreamDescriptor(name=name), AirbyteStateBlob(state))
    stats = AirbyteStateStats(recordCount=float(records))
    message = AirbyteStateMessage(AirbyteStateType.STREAM, stream, sourceStats=stats)
    return AirbyteMessage(type=Type.STATE, state=message)


def _status(name: str, status: AirbyteStreamStatus) -> AirbyteMessage:
    return as_airbyte_message(StreamDescriptor(name=name), status)
