"""The source: what Airbyte asks of it, and who answers."""

import logging
import threading
import time
from collections.abc import Callable, Iterable, Mapping, MutableMapping
from dataclasses import dataclass
from itertools import chain
from json import JSONDecodeError
from typing import Any, TypeVar

from airbyte_cdk.models import (
    AirbyteCatalog,
    AirbyteConnectionStatus,
    AirbyteMessage,
    AirbyteStateMessage,
    ConfiguredAirbyteCatalog,
    FailureType,
    Status,
    SyncMode,
)
from airbyte_cdk.sources import Source
from airbyte_cdk.sources.connector_state_manager import ConnectorStateManager
from airbyte_cdk.sources.streams.concurrent.default_stream import DefaultStream
from airbyte_cdk.sources.utils.schema_helpers import ResourceSchemaLoader
from airbyte_cdk.utils.airbyte_secrets_utils import update_secrets
from airbyte_cdk.utils.traced_exception import AirbyteTracedException

from . import abandoned_carts, cart_stats, engine
from .abandoned_carts import AbandonedCarts
from .cart_stats import CartStats
from .checkpoint import Items
from .config import Config, ConfigError, read_config
from .http import Patience
from .redaction import forms
from .retargeting import Retargeting
from .snipcart import Snipcart
from .windows import DAY, Window

_PATIENCE_OF_CHECK = Patience(connect=5, read=8, answer=10, tries=2, longest_retry_after=2)
_LONGEST_CHECK = 15  # seconds; the platform wants an answer within 30, a slow start-up included

_T = TypeVar("_T")


@dataclass(frozen=True)
class _Stream:
    """`setting` is the key that turns the stream on.

    `read` takes the settings, the saved state ({} for none, None for a full refresh) and the time
    of the sync in Unix seconds.
    """

    primary_key: str
    cursor: str
    setting: str
    read: Callable[[Config, Mapping[str, Any] | None, int], Items]


def _snipcart(settings: Config, patience: Patience) -> Snipcart:
    key = settings.snipcart_api_key or ""
    return Snipcart(key, settings.filters, settings.page_size, patience)


def _retargeting(settings: Config, patience: Patience) -> Retargeting:
    return Retargeting(settings.retargeting_rest_key or "", patience)


def _read_carts(settings: Config, state: Mapping[str, Any] | None, now: int) -> Items:
    api = _snipcart(settings, Patience())
    stream = AbandonedCarts(
        api,
        settings.start,
        settings.fingerprint,
        settings.filters["timeRange"],
        settings.full_scan_hours,
    )
    return stream.read(state)


def _read_stats(settings: Config, state: Mapping[str, Any] | None, now: int) -> Items:
    api = _retargeting(settings, Patience())
    stream = CartStats(api, settings.start, settings.window_days, settings.lookback_days)
    return stream.read(state, now)


_STREAMS = {
    abandoned_carts.NAME: _Stream(
        abandoned_carts.PRIMARY_KEY, abandoned_carts.CURSOR, "snipcart_api_key", _read_carts
    ),
    cart_stats.NAME: _Stream(
        cart_stats.PRIMARY_KEY, cart_stats.CURSOR, "retargeting_rest_key", _read_stats
    ),
}


class SourceAbandonedCarts(Source):
    """Abandoned carts from Snipcart and cart statistics from Retargeting."""

    check_config_against_spec = False  # read_config does, and names the field

    def check(self, logger: logging.Logger, config: Mapping[str, Any]) -> AirbyteConnectionStatus:
        """Ask each service that has a key; what fails is told in the status, and never raised."""
        try:
            checked = _check(self._settings(logger, config))
        except AirbyteTracedException as error:
            checked = {"": str(error)}
        failures = " ".join(failure for failure in checked.values() if failure)
        if failures:
            return AirbyteConnectionStatus(status=Status.FAILED, message=failures)
        return AirbyteConnectionStatus(
            status=Status.SUCCEEDED, message=f"The keys work: {' and '.join(checked)} answered."
        )

    def discover(self, logger: logging.Logger, config: Mapping[str, Any]) -> AirbyteCatalog:
        """Give the streams whose key is set. No service is asked."""
        settings = self._settings(logger, config)
        return AirbyteCatalog(
            streams=[
                _make_stream(name, lambda: iter(())).as_airbyte_stream()
                for name, stream in _STREAMS.items()
                if getattr(settings, stream.setting)
            ]
        )

    def read(
        self,
        logger: logging.Logger,
        config: Mapping[str, Any],
        catalog: ConfiguredAirbyteCatalog,
        state: list[AirbyteStateMessage] | None = None,
    ) -> Iterable[AirbyteMessage]:
        """Read the streams of the catalog, all at once."""
        settings = self._settings(logger, config)
        now = int(time.time())
        try:
            states = ConnectorStateManager(state)
        except ValueError:
            raise _config_error(
                "The saved state was not written by this connector. Clear the connection's data."
            ) from None

        def reader(name: str, sync_mode: SyncMode | None) -> engine.Reader:
            incremental = sync_mode == SyncMode.incremental
            saved = states.get_stream_state(name, None) if incremental else None
            return lambda: _records(settings, name, saved, now)

        streams = {
            configured.stream.name: _make_stream(
                configured.stream.name, reader(configured.stream.name, configured.sync_mode)
            )
            for configured in catalog.streams
        }
        yield from engine.run(list(streams.values()), logger)

    def configure(self, config: Mapping[str, Any], temp_dir: str) -> Mapping[str, Any]:
        """Leave the settings as they are: the CDK would write the keys into a file."""
        return config

    @staticmethod
    def read_config(config_path: str) -> MutableMapping[str, Any]:
        """Read the file of the settings; AirbyteTracedException says what is wrong with it."""
        return _from_file("settings", config_path, "an object of settings", Source.read_config)

    @classmethod
    def read_catalog(cls, catalog_path: str) -> ConfiguredAirbyteCatalog:
        """Read the file of the configured catalog, likewise."""
        return _from_file("catalog", catalog_path, "a configured catalog", super().read_catalog)

    @classmethod
    def read_state(cls, state_path: str) -> list[AirbyteStateMessage]:
        """Read the file of the states, likewise; no path, no states."""
        return _from_file("state", state_path, "a list of states", super().read_state)

    def _settings(self, logger: logging.Logger, config: Mapping[str, Any]) -> Config:
        form = self.spec(logger).connectionSpecification
        for name in config:
            if name.startswith(("snipcart_", "retargeting_")) and name not in form["properties"]:
                logger.warning(f"There is no setting {name}; it is ignored.")
        try:
            settings = read_config(config, form)
        except ConfigError as error:
            raise _config_error(str(error)) from None
        # The CDK hides a key as it is; in a log it may also be percent-encoded, or in Base64.
        update_secrets(
            sorted(chain.from_iterable(map(forms, settings.keys)), key=len, reverse=True)
        )
        return settings


def _make_stream(name: str, read: engine.Reader) -> DefaultStream:
    stream = _STREAMS.get(name)
    if stream is None:
        return engine.make_stream(name, read, json_schema={})
    return engine.make_stream(
        name,
        read,
        json_schema=ResourceSchemaLoader(__package__).get_schema(name),
        primary_key=stream.primary_key,
        cursor=stream.cursor,
    )


def _records(settings: Config, name: str, state: Mapping[str, Any] | None, now: int) -> Items:
    stream = _STREAMS.get(name)
    if stream is None:
        raise _config_error(
            f"There is no stream {name}. Refresh the connection's schema, or remove the stream."
        )
    if not getattr(settings, stream.setting):
        raise _config_error(
            f"The stream {name} needs the setting {stream.setting}, which is not filled in. Fill "
            "it in, or remove the stream from the connection."
        )
    return stream.read(settings, state, now)


def _check(settings: Config) -> dict[str, str]:
    """Ask the services that have a key, all at once; give for each what failed, or no text."""
    now = int(time.time())
    checks: dict[str, Callable[[], object]] = {}
    if settings.snipcart_api_key:
        checks["Snipcart"] = lambda: _snipcart(settings, _PATIENCE_OF_CHECK).check()
    if settings.retargeting_rest_key:
        day = Window(now - DAY, now)
        checks["Retargeting"] = lambda: _retargeting(settings, _PATIENCE_OF_CHECK).counts(day)
    # What has not answered by the end is a failure: neither a stuck name server nor an answer that
    # drips may hold up the check, and threads that are daemons do not hold up the exit.
    outcomes = {
        name: f"{name} did not answer within {_LONGEST_CHECK} seconds. Try again later."
        for name in checks
    }

    def ask(name: str, check: Callable[[], object]) -> None:
        try:
            check()
            outcomes[name] = ""
        except AirbyteTracedException as error:
            outcomes[name] = str(error)
        except Exception as error:
            outcomes[name] = str(engine.defect(f"The check of {name}", error))

    threads = [threading.Thread(target=ask, args=item, daemon=True) for item in checks.items()]
    deadline = time.monotonic() + _LONGEST_CHECK
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0, deadline - time.monotonic()))
    return dict(outcomes)


def _from_file(what: str, path: str, content: str, read: Callable[[str], _T]) -> _T:
    try:
        return read(path)
    except OSError as error:
        reason = error.strerror or type(error).__name__
    except Exception as error:  # its text may quote the file, and with it a key
        cause = error.__context__
        if isinstance(cause, JSONDecodeError):
            reason = f"it is not JSON at line {cause.lineno}, column {cause.colno}"
        else:
            reason = f"it does not hold {content}"
    raise _config_error(f"The {what} file {path} cannot be read: {reason}.")


def _config_error(message: str) -> AirbyteTracedException:
    return AirbyteTracedException(
        internal_message=message, message=message, failure_type=FailureType.config_error
    )
