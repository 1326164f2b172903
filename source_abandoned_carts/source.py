"""The source: check, discover and read the streams that the settings turn on."""

import logging
import time
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor, wait
from typing import Any

from airbyte_cdk.models import (
    AirbyteCatalog,
    AirbyteConnectionStatus,
    AirbyteMessage,
    AirbyteStateMessage,
    AirbyteStream,
    ConfiguredAirbyteCatalog,
    Status,
    SyncMode,
)
from airbyte_cdk.sources import Source
from airbyte_cdk.sources.connector_state_manager import ConnectorStateManager
from airbyte_cdk.utils.airbyte_secrets_utils import filter_secrets, update_secrets
from airbyte_cdk.utils.traced_exception import AirbyteTracedException

from . import engine
from .abandoned_carts import AbandonedCarts
from .cart_stats import CartStats
from .config import Config, read_config, unknown_settings
from .departed_carts import DepartedCarts
from .errors import config_error
from .http import RetryPolicy
from .json_schemas import read_schema
from .redaction import encodings
from .retargeting import Retargeting
from .snipcart import Snipcart
from .timestamps import to_epoch
from .windows import DAY

_CHECK_POLICY = RetryPolicy(connect=5, read=8, body=10, attempts=2, max_retry_after=2)
_CHECK_DEADLINE = 15  # seconds; the platform wants a result within 30, start-up included

_Stream = AbandonedCarts | CartStats | DepartedCarts

_TURNED_ON_BY = {  # settings
    AbandonedCarts.name: "snipcart_api_key",
    CartStats.name: "retargeting_rest_key",
    DepartedCarts.name: "snipcart_departed_carts and snipcart_api_key",
}


class SourceAbandonedCarts(Source):
    """Abandoned carts from Snipcart and cart statistics from Retargeting.

    `settings` is the content of the configuration file, which the CDK calls config.
    """

    check_config_against_spec = False  # config.read_config does that, and names the field

    def check(self, logger: logging.Logger, settings: Mapping[str, Any]) -> AirbyteConnectionStatus:
        """Send a request to each service that has a key; the status says what failed."""
        try:
            config = self._config(logger, settings)
            if to_epoch(config.start) > time.time() + DAY:
                raise config_error(
                    f"“Start date” (start_date) is in the future: {config.start}. Enter the "
                    "first day to read, or correct the clock of this machine."
                )
            streams = _streams(config, _CHECK_POLICY)
        except AirbyteTracedException as error:
            return AirbyteConnectionStatus(status=Status.FAILED, message=str(error))
        apis = {stream.api.name: stream.api for stream in streams}
        pool = ThreadPoolExecutor()
        checks = {name: pool.submit(api.check) for name, api in apis.items()}
        done, _ = wait(checks.values(), timeout=_CHECK_DEADLINE)
        problems = []
        for name, check in checks.items():
            if check not in done:
                problems.append(f"{name} did not respond in {_CHECK_DEADLINE} seconds. Try later.")
            elif isinstance(failure := check.exception(), AirbyteTracedException):
                problems.append(str(failure))
            else:
                check.result()  # raises an unexpected error
        if problems:
            # Each service removes its own credential. One could still quote the other's.
            message = filter_secrets(" ".join(problems))
            return AirbyteConnectionStatus(status=Status.FAILED, message=message)
        message = f"The connection to {' and '.join(checks)} works."
        return AirbyteConnectionStatus(status=Status.SUCCEEDED, message=message)

    def discover(self, logger: logging.Logger, settings: Mapping[str, Any]) -> AirbyteCatalog:
        """Return the streams that the settings turn on; no request is sent."""
        streams = [
            AirbyteStream(
                name=stream.name,
                json_schema=read_schema(stream.name),
                supported_sync_modes=[SyncMode(mode) for mode in stream.sync_modes],
                source_defined_cursor=True,
                default_cursor_field=[stream.cursor_field],
                source_defined_primary_key=[[stream.primary_key]],
                is_resumable=False,  # a full refresh starts over, whatever state it gets
            )
            for stream in _streams(self._config(logger, settings), RetryPolicy())
        ]
        return AirbyteCatalog(streams=streams)

    def read(
        self,
        logger: logging.Logger,
        settings: Mapping[str, Any],
        catalog: ConfiguredAirbyteCatalog,
        state: list[AirbyteStateMessage] | None = None,
    ) -> Iterable[AirbyteMessage]:
        """Yield all messages as objects, for programs that embed the source."""
        for message in self.read_pages(logger, settings, catalog, state):
            if isinstance(message, engine.RecordLines):
                yield from message.messages()
            else:
                yield message

    def read_pages(
        self,
        logger: logging.Logger,
        settings: Mapping[str, Any],
        catalog: ConfiguredAirbyteCatalog,
        state: list[AirbyteStateMessage] | None = None,
    ) -> Iterator[engine.RecordLines | AirbyteMessage]:
        """Read the streams of the catalog at the same time. A page of records is one text."""
        config = self._config(logger, settings)
        if to_epoch(config.start) > time.time():
            logger.warning(
                f"The start date is in the future: {config.start}. The sync emits no statistics of "
                "days before it, and only carts without a date."
            )
        streams = {stream.name: stream for stream in _streams(config, RetryPolicy())}
        states = ConnectorStateManager(state)
        reads: list[tuple[engine.Stream, Mapping[str, Any] | None]] = []
        names = [configured.stream.name for configured in catalog.streams]
        if twice := {name for name in names if names.count(name) > 1}:
            raise config_error(f"The catalog lists {', '.join(sorted(twice))} more than once.")
        for configured in catalog.streams:
            name = configured.stream.name
            mode = configured.sync_mode
            stream = streams.get(name)
            if stream is None:
                reads.append((_Unavailable(name, _not_turned_on(name)), None))
            elif mode.value not in stream.sync_modes:
                reads.append((_Unavailable(name, _not_supported(name, mode.value)), None))
            else:
                is_incremental = mode == SyncMode.incremental
                reads.append(
                    (stream, states.get_stream_state(name, None) if is_incremental else None)
                )
        yield from engine.run(reads, logger)

    def _config(self, logger: logging.Logger, settings: Mapping[str, Any]) -> Config:
        """Return the validated settings. Warn of probable mistakes, and hide the credentials."""
        spec = self.spec(logger).connectionSpecification
        for warning in unknown_settings(settings, spec):
            logger.warning(warning)
        config = read_config(settings, spec)
        keys = (config.snipcart_api_key, config.retargeting_rest_key)
        # The CDK removes these texts from each log line in this order, the longest first.
        update_secrets(encodings(*(key for key in keys if key)))
        return config


def _streams(config: Config, policy: RetryPolicy) -> list[_Stream]:
    """Return the streams that the settings turn on."""
    streams: list[_Stream] = []
    # Streams of one service share its client, and so the wait after HTTP 429.
    snipcart = Snipcart(config, policy)
    if config.snipcart_api_key:
        streams.append(AbandonedCarts(snipcart, config))
    if config.retargeting_rest_key:
        streams.append(CartStats(Retargeting(config, policy), config))
    if config.departed_carts:
        streams.append(DepartedCarts(snipcart))
    return streams


class _Unavailable:
    """A stream of the catalog that cannot be read. The other streams still are."""

    progress = "not available"

    def __init__(self, name: str, error: AirbyteTracedException) -> None:
        self.name = name
        self._error = error

    def read(self, saved: Mapping[str, Any] | None) -> engine.Items:
        """Raise the error."""
        raise self._error


def _not_turned_on(name: str) -> AirbyteTracedException:
    what_to_do = f"Set {_TURNED_ON_BY[name]}" if name in _TURNED_ON_BY else "Refresh the schema"
    return config_error(
        f"The settings do not turn on the stream {name}. {what_to_do}, or remove the stream from "
        "the connection."
    )


def _not_supported(name: str, mode: str) -> AirbyteTracedException:
    return config_error(
        f"The stream {name} does not support the sync mode {mode}. In the connection, choose an "
        "incremental mode for it, or remove it."
    )
