import json
import logging
import threading
import time
from pathlib import Path

import pytest
from airbyte_cdk.models import FailureType, Status
from airbyte_cdk.utils.airbyte_secrets_utils import filter_secrets
from airbyte_cdk.utils.traced_exception import AirbyteTracedException

from source_abandoned_carts import SourceAbandonedCarts, source

LOGGER = logging.getLogger("airbyte")
CONFIG = {
    "start_date": "2024-01-01", "snipcart_api_key": "k/e y", "retargeting_rest_key": "rest"
}  # fmt: skip
SCHEMAS = Path(source.__file__).parent / "schemas"


def check(config=CONFIG):
    return SourceAbandonedCarts().check(LOGGER, config)


def test_check_asks_both_services_with_filters_and_a_short_window(requests_mock):
    carts = requests_mock.get(
        "https://app.snipcart.com/api/carts/abandoned", json={"items": [], "hasMoreResults": False}
    )
    stats = requests_mock.get(
        "https://api.retargeting.app/v1/partners-api/shopping-carts",
        json={"status": "success", "data": {"abandoned": 0, "recovered": 0}},
    )
    assert check({**CONFIG, "snipcart_product_id": "42"}).status == Status.SUCCEEDED
    assert carts.last_request.qs["productid"] == ["42"]
    window = {name: int(values[0]) for name, values in stats.last_request.qs.items() if "d" in name}
    assert window["date_to"] - window["date_from"] == 86_400
    assert carts.last_request.timeout == (5, 8)


def test_check_waits_for_no_service_longer_than_it_may(monkeypatch):
    monkeypatch.setattr(source, "_LONGEST_CHECK", 0.1)
    stuck = threading.Event()
    monkeypatch.setattr(source.Snipcart, "check", lambda self: stuck.wait(5))
    monkeypatch.setattr(source.Retargeting, "counts", lambda self, window: None)
    started = time.monotonic()
    result = check()
    assert time.monotonic() - started < 2
    stuck.set()
    assert result.status == Status.FAILED
    assert result.message.startswith("Snipcart did not answer")
    assert "Retargeting" not in result.message


def test_check_tells_of_a_defect_without_its_text(monkeypatch):
    def broken(self):
        raise KeyError("ann@shop.example")

    monkeypatch.setattr(source.Snipcart, "check", broken)
    monkeypatch.setattr(source.Retargeting, "counts", lambda self, window: None)
    message = check().message
    assert "defect of the connector (KeyError)" in message
    assert "ann" not in message


def test_all_forms_of_a_key_are_hidden_from_the_first_look_at_the_settings():
    SourceAbandonedCarts().discover(LOGGER, CONFIG)
    assert (
        filter_secrets("k/e y, k%2Fe%20y, k/e+y, ay9lIHk6, rest") == "****, ****, ****, ****, ****"
    )


def test_settings_are_not_written_to_the_disk(tmp_path):
    assert SourceAbandonedCarts().configure(CONFIG, str(tmp_path)) == CONFIG
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "read", [SourceAbandonedCarts.read_config, SourceAbandonedCarts.read_catalog]
)
def test_a_file_that_cannot_be_read_gets_a_sentence_without_its_text(tmp_path, read):
    path = tmp_path / "file.json"
    for text in ('{"snipcart_api_key": "sesame"', '"sesame"', '["sesame"]'):
        path.write_text(text)
        with pytest.raises(AirbyteTracedException) as error:
            read(str(path))
        assert error.value.failure_type == FailureType.config_error
        assert "sesame" not in str(error.value)


def nodes(schema):
    yield schema
    for child in [*schema.get("properties", {}).values(), schema.get("items")]:
        if isinstance(child, dict):
            yield from nodes(child)


@pytest.mark.parametrize("path", sorted(SCHEMAS.glob("*.json")), ids=lambda path: path.stem)
def test_every_field_of_a_schema_may_be_null_and_every_object_may_hold_more(path):
    root, *fields = nodes(json.loads(path.read_text()))
    for field in fields:
        assert "null" in field["type"]
    for node in (root, *fields):
        if "object" in node["type"]:
            assert node["additionalProperties"] is True
        if node.get("format") == "date-time":
            assert node["airbyte_type"] == "timestamp_with_timezone"
