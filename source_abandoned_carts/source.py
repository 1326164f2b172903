"""The source: check, discover and read the streams that the settings turn on."""

import logging
from collections.abc import Iterable, Mapping
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
from airbyte_cdk.utils.airbyte_secrets_utils import update_secrets
from airbyte_cdk.utils.traced_exception import AirbyteTracedException

from . import engine
from .abandoned_carts import AbandonedCarts
from .cart_stats import CartStats
from .config import read_config
from .departed_carts import DepartedCarts
from .http import RetryPolicy
from .json_schemas import read_schema
from .redaction import encodings
from .responses import config_error
from .retargeting import Retargeting
from .snipcart import Snipcart

_CHECK_POLICY = RetryPolicy(connect=5, read=8, body=10, attempts=2, max_retry_after=2)
_CHECK_DEADLINE = 15  # seconds; the platform wants a result within 30, start-up included

Stream = AbandonedCarts | CartStats | DepartedCarts

# The settings that turn each stream on.
_SETTINGS = {
    AbandonedCarts.name: "snipcart_api_key",
    CartStats.name: "retargeting_rest_key",
    DepartedCarts.name: "snipcart_departed_carts and snipcart_api_key",
}


class SourceAbandonedCarts(Source):
    """Abandoned carts from Snipcart and cart statistics from Retargeting."""

    check_config_against_spec = False  # config.read_config does that, and names the field

    def check(self, logger: logging.Logger, config: Mapping[str, Any]) -> AirbyteConnectionStatus:
        """Send a request to each service that has a key; the status says what failed."""
        try:
            streams = self._streams(logger, config, _CHECK_POLICY)
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
            return AirbyteConnectionStatus(status=Status.FAILED, message=" ".join(problems))
        message = f"The connection to {' and '.join(checks)} works."
        return AirbyteConnectionStatus(status=Status.SUCCEEDED, message=message)

    def discover(self, logger: logging.Logger, config: Mapping[str, Any]) -> AirbyteCatalog:
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
            for stream in self._streams(logger, config, RetryPolicy())
        ]
        return AirbyteCatalog(streams=streams)

    def read(
        self,
        logger: logging.Logger,
        config: Mapping[str, Any],
        catalog: ConfiguredAirbyteCatalog,
        state: list[AirbyteStateMessage] | None = None,
    ) -> Iterable[AirbyteMessage]:
        """Read the streams of the catalog, all at once."""
        streams = {s.name: s for s in self._streams(logger, config, RetryPolicy())}
        states = ConnectorStateManager(state)
        reads: dict[str, engine.Items] = {}
        for configured in catalog.streams:
            name = configured.stream.name
            incremental = configured.sync_mode == SyncMode.incremental
            saved = states.get_stream_state(name, None) if incremental else None
            reads[name] = streams[name].read(saved) if name in streams else _not_turned_on(name)
        yield from engine.run(reads, states, logger)

    def _streams(
        self, logger: logging.Logger, config: Mapping[str, Any], policy: RetryPolicy
    ) -> list[Stream]:
        """Return the streams that the settings turn on."""
        spec = self.spec(logger).connectionSpecification
        for name in config:
            if name.startswith(("snipcart_", "retargeting_")) and name not in spec["properties"]:
                logger.warning(f"The connector ignores the setting {name}. Check its spelling.")
        settings = read_config(config, spec)
        streams: list[Stream] = []
        if settings.snipcart_api_key:
            streams.append(AbandonedCarts(Snipcart(settings, policy), settings))
        if settings.retargeting_rest_key:
            streams.append(CartStats(Retargeting(settings, policy), settings))
        if settings.snipcart_api_key and settings.departed_carts:
            streams.append(DepartedCarts(Snipcart(settings, policy)))
        # The CDK removes these texts from each log line in this order, the longest first.
        update_secrets(encodings(*(stream.api.secret for stream in streams)))
        return streams


def _not_turned_on(name: str) -> engine.Items:
    """Raise when the engine reads this stream, so that the other streams still run."""
    what_to_do = f"Set {_SETTINGS[name]}" if name in _SETTINGS else "Refresh the schema"
    raise config_error(
        f"The settings do not turn on the stream {name}. {what_to_do}, or remove the stream from "
        "the connection."
    )
    yield  # makes this function a generator
