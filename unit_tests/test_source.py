import logging
import threading
import time

import pytest
from airbyte_cdk.models import ConfiguredAirbyteCatalogSerializer, Status
from airbyte_cdk.utils.airbyte_secrets_utils import filter_secrets
from airbyte_cdk.utils.traced_exception import AirbyteTracedException

from source_abandoned_carts import SourceAbandonedCarts, source

from .helpers import SETTINGS

LOGGER = logging.getLogger("airbyte")
CARTS = "abandoned_carts"


def test_check_ends_at_its_deadline(monkeypatch):
    monkeypatch.setattr(source, "_CHECK_DEADLINE", 0.1)
    is_over = threading.Event()
    monkeypatch.setattr(source.Snipcart, "check", lambda self: is_over.wait(5))
    monkeypatch.setattr(source.Retargeting, "check", lambda self: None)
    started = time.monotonic()
    result = SourceAbandonedCarts().check(LOGGER, SETTINGS)
    assert time.monotonic() - started < 2
    is_over.set()
    assert result.status == Status.FAILED
    assert result.message == "Snipcart did not respond in 0.1 seconds. Try later."


def configured_catalog(*names):
    sync = {"sync_mode": "incremental", "destination_sync_mode": "append"}
    streams = [{"name": n, "json_schema": {}, "supported_sync_modes": []} for n in names]
    return ConfiguredAirbyteCatalogSerializer.load(
        {"streams": [{"stream": stream, **sync} for stream in streams]}
    )


def test_refuses_a_catalog_with_a_stream_twice():
    catalog = configured_catalog("cart_stats", CARTS, CARTS)
    with pytest.raises(AirbyteTracedException, match=f"The catalog lists {CARTS} more than once"):
        list(SourceAbandonedCarts().read(LOGGER, SETTINGS, catalog))


@pytest.mark.parametrize(
    ("name", "advice"), [("cart_stats", "Set retargeting_rest_key"), ("x", "Refresh the schema")]
)
def test_stream_that_is_not_turned_on_fails_alone(requests_mock, name, advice):
    url = "https://app.snipcart.com/api/carts/abandoned"
    requests_mock.get(url, json={"items": [{"token": "a"}], "hasMoreResults": False})
    catalog = configured_catalog(CARTS, name)
    config = {**SETTINGS, "snipcart_api_key": "sk-1", "retargeting_rest_key": None}
    messages = []
    with pytest.raises(AirbyteTracedException):
        messages.extend(SourceAbandonedCarts().read(LOGGER, config, catalog))
    (error,) = [m.trace.error for m in messages if m.trace and m.trace.error]
    assert error.failure_type.value == "config_error"
    assert f"do not turn on the stream {name}. {advice}" in error.message
    assert [m.record.data for m in messages if m.record] == [{"token": "a"}]


def test_logs_hide_all_encodings_of_a_key():
    SourceAbandonedCarts().discover(LOGGER, {**SETTINGS, "snipcart_api_key": "k/e y"})
    line = "k/e y, k%2Fe%20y, k%2Fe+y, ay9lIHk6, rest-key-1"
    assert filter_secrets(line) == "****, ****, ****, ****, ****"


def test_check_hides_a_key_that_the_other_service_quotes(requests_mock):
    """A service can learn the other key if a user enters both in the wrong fields."""
    body = {"message": "rest-key-1 is not known", "error": "sk-9 is not known"}
    requests_mock.get("https://app.snipcart.com/api/carts/abandoned", status_code=400, json=body)
    url = "https://api.retargeting.app/v1/partners-api/shopping-carts"
    requests_mock.get(url, status_code=400, json=body)
    result = SourceAbandonedCarts().check(LOGGER, {**SETTINGS, "snipcart_api_key": "sk-9"})
    assert "sk-9" not in result.message
    assert "rest-key-1" not in result.message
