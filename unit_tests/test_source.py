import json
import logging
import threading
import time

import pytest
from airbyte_cdk.models import ConfiguredAirbyteCatalogSerializer, Status
from airbyte_cdk.utils.airbyte_secrets_utils import filter_secrets
from airbyte_cdk.utils.traced_exception import AirbyteTracedException

from source_abandoned_carts import SourceAbandonedCarts, source

from .helpers import SETTINGS, SPEC_FILE

LOGGER = logging.getLogger("airbyte")
SCHEMAS = SPEC_FILE.parent / "schemas"
CARTS = "https://app.snipcart.com/api/carts/abandoned"
STATS = "https://api.retargeting.app/v1/partners-api/shopping-carts"
SUCCESS = {"status": "success", "data": {"abandoned": 0, "recovered": 0}}


def check(**changes):
    return SourceAbandonedCarts().check(LOGGER, {**SETTINGS, **changes})


class TestCheck:
    def test_sends_a_short_request_to_each_service(self, requests_mock):
        requests_mock.get(CARTS, json={"items": [], "hasMoreResults": False})
        requests_mock.get(STATS, json=SUCCESS)
        result = check(snipcart_product_id="42")
        assert result.status == Status.SUCCEEDED
        assert result.message == "The connection to Snipcart and Retargeting works."
        carts, stats = sorted(requests_mock.request_history, key=lambda sent: sent.url)[::-1]
        assert carts.hostname == "app.snipcart.com"
        assert (carts.qs["limit"], carts.qs["productid"]) == (["1"], ["42"])
        assert carts.timeout == stats.timeout == (5, 8)

    def test_names_each_service_that_fails(self, requests_mock, monkeypatch):
        waits = []
        monkeypatch.setattr(time, "sleep", waits.append)
        requests_mock.get(CARTS, status_code=401)
        requests_mock.get(STATS, status_code=503, headers={"Retry-After": "600"})
        result = check()
        assert result.status == Status.FAILED
        assert "Snipcart refused the request (HTTP 401 Unauthorized). Copy" in result.message
        assert "Retargeting could not answer (HTTP 503" in result.message
        assert waits == [2]

    def test_waits_for_no_service_longer_than_it_may(self, monkeypatch):
        monkeypatch.setattr(source, "_CHECK_DEADLINE", 0.1)
        is_over = threading.Event()
        monkeypatch.setattr(source.Snipcart, "check", lambda self: is_over.wait(5))
        monkeypatch.setattr(source.Retargeting, "check", lambda self: None)
        started = time.monotonic()
        result = check()
        assert time.monotonic() - started < 2
        is_over.set()
        assert result.status == Status.FAILED
        assert result.message.startswith("Snipcart did not respond within 0.1 seconds.")
        assert "Retargeting" not in result.message


@pytest.mark.parametrize(
    ("missing", "names"),
    [
        ("none", ["abandoned_carts", "cart_stats"]),
        ("snipcart_api_key", ["cart_stats"]),
        ("retargeting_rest_key", ["abandoned_carts"]),
    ],
)
def test_discover_lists_the_streams_that_are_turned_on(missing, names):
    catalog = SourceAbandonedCarts().discover(LOGGER, {**SETTINGS, missing: None})
    assert [stream.name for stream in catalog.streams] == names
    assert [stream.is_resumable for stream in catalog.streams] == [False] * len(names)


def read(*names, **changes):
    modes = {"sync_mode": "incremental", "destination_sync_mode": "append"}
    streams = [
        {"name": name, "json_schema": {}, "supported_sync_modes": ["incremental"]} for name in names
    ]
    catalog = ConfiguredAirbyteCatalogSerializer.load(
        {"streams": [{"stream": stream, **modes} for stream in streams]}
    )
    return SourceAbandonedCarts().read(LOGGER, {**SETTINGS, **changes}, catalog)


@pytest.mark.parametrize(
    ("name", "advice"), [("cart_stats", "Fill in retargeting_rest_key"), ("x", "Refresh the sch")]
)
def test_a_stream_that_is_not_turned_on_fails_alone(requests_mock, name, advice):
    requests_mock.get(CARTS, json={"items": [{"token": "a"}], "hasMoreResults": False})
    messages = []
    with pytest.raises(AirbyteTracedException):
        messages.extend(read("abandoned_carts", name, retargeting_rest_key=None))
    errors = [m.trace.error for m in messages if m.trace and m.trace.error]
    assert [error.failure_type.value for error in errors] == ["config_error"]
    assert f"do not turn on the stream {name}. {advice}" in errors[0].message
    assert [m.record.data for m in messages if m.record] == [{"token": "a"}]


def test_an_unknown_setting_is_logged(caplog):
    assert list(read(snipcart_apikey="x", somebody_elses="y")) == []
    assert "There is no setting snipcart_apikey" in caplog.text
    assert "somebody_elses" not in caplog.text


def test_logs_hide_all_forms_of_a_key():
    changes = {"snipcart_api_key": "k/e y"}
    SourceAbandonedCarts().discover(LOGGER, {**SETTINGS, **changes})
    line = "k/e y, k%2Fe%20y, k%2Fe+y, ay9lIHk6, rest-key-1"
    assert filter_secrets(line) == "****, ****, ****, ****, ****"


def nodes(schema):
    yield schema
    for child in [*schema.get("properties", {}).values(), schema.get("items")]:
        if isinstance(child, dict):
            yield from nodes(child)


@pytest.mark.parametrize("path", sorted(SCHEMAS.glob("*.json")), ids=lambda path: path.stem)
def test_every_field_may_be_null_and_every_object_may_hold_more(path):
    root, *fields = nodes(json.loads(path.read_text()))
    assert all("null" in field["type"] for field in fields)
    for node in (root, *fields):
        assert "object" not in node["type"] or node["additionalProperties"] is True
        assert node.get("airbyte_type", "timestamp_with_timezone") == "timestamp_with_timezone"
        assert ("airbyte_type" in node) == (node.get("format") == "date-time")
