"""spec, check, discover and read as a platform uses them."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from airbyte_cdk.models import ConfiguredAirbyteCatalogSerializer

from .conftest import HERE, Connector, catalog

ROOT = HERE.parent


def test_spec_is_one_message_and_no_key_or_address_is_left_open(executable: Connector) -> None:
    output = executable.run("spec")
    (message,) = output.of("SPEC")
    form = message["spec"]["connectionSpecification"]
    assert output.code == 0
    assert form["required"] == ["start_date"]
    secrets = {name for name, field in form["properties"].items() if field.get("airbyte_secret")}
    assert secrets == {"snipcart_api_key", "retargeting_rest_key"}
    assert not [name for name in form["properties"] if "url" in name]


def test_main_py_does_the_same_as_the_command(connector: Connector) -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "main.py"), "spec"], capture_output=True, text=True, check=True
    )
    assert connector.run("spec").of("SPEC") == [
        message
        for message in map(json.loads, done.stdout.splitlines())
        if message["type"] == "SPEC"
    ]


def test_check_succeeds_with_both_keys_and_names_itself(sandbox, connector) -> None:
    output = connector.run("check", config=sandbox.config)
    assert output.status == {
        "status": "SUCCEEDED",
        "message": "The keys work: Snipcart and Retargeting answered.",
    }
    assert output.code == 0
    agents = {request.headers["user-agent"] for request in sandbox.requests}
    assert agents == {"source-abandoned-carts/0.1.0"}


def test_only_streams_whose_key_is_given_are_discovered(sandbox, connector) -> None:
    for missing, found in (
        (None, ["abandoned_carts", "cart_stats"]),
        ("snipcart_api_key", ["cart_stats"]),
        ("retargeting_rest_key", ["abandoned_carts"]),
    ):
        config = {name: value for name, value in sandbox.config.items() if name != missing}
        (message,) = connector.run("discover", config=config).of("CATALOG")
        assert [stream["name"] for stream in message["catalog"]["streams"]] == found
    assert sandbox.requests == []


def test_the_catalog_tells_keys_cursors_and_modes(sandbox, connector) -> None:
    (message,) = connector.run("discover", config=sandbox.config).of("CATALOG")
    carts, stats = message["catalog"]["streams"]
    for stream, key, cursor in (
        (carts, "token", "modificationDate"),
        (stats, "date_from", "date_to"),
    ):
        assert stream["source_defined_primary_key"] == [[key]]
        assert stream["default_cursor_field"] == [cursor]
        assert stream["source_defined_cursor"] is True
        assert stream["supported_sync_modes"] == ["full_refresh", "incremental"]
        assert stream["json_schema"]["additionalProperties"] is True


@pytest.mark.parametrize("mode", ["full_refresh", "incremental"])
def test_both_streams_are_read_in_both_modes(sandbox, connector, mode) -> None:
    output = connector.read(sandbox.config, "abandoned_carts", "cart_stats", mode=mode)
    assert output.code == 0
    assert len(output.records("abandoned_carts")) == len(sandbox.carts)
    assert sum(record["abandoned"] for record in output.records("cart_stats")) == len(
        sandbox.abandoned
    )
    statuses = [
        (status["stream_descriptor"]["name"], status["status"])
        for status in (message["trace"].get("stream_status") for message in output.of("TRACE"))
        if status
    ]
    for stream in ("abandoned_carts", "cart_stats"):
        assert [status for name, status in statuses if name == stream] == [
            "STARTED",
            "RUNNING",
            "COMPLETE",
        ]
    for stream in ("abandoned_carts", "cart_stats"):
        counted = sum(
            message["state"]["sourceStats"]["recordCount"]
            for message in output.of("STATE")
            if message["state"]["stream"]["stream_descriptor"]["name"] == stream
        )
        assert counted == len(output.records(stream))


def test_an_empty_catalog_ends_well(sandbox, connector) -> None:
    output = connector.read(sandbox.config)
    assert (output.code, output.of("RECORD")) == (0, [])


def test_a_stream_whose_key_is_missing_is_an_error_for_it_alone(sandbox, connector) -> None:
    config = {**sandbox.config, "retargeting_rest_key": ""}
    output = connector.read(config, "abandoned_carts", "cart_stats", "orders")
    assert output.code == 1
    assert len(output.records("abandoned_carts")) == len(sandbox.carts)
    for stream in ("cart_stats", "orders"):
        assert output.error(stream)["failure_type"] == "config_error"
    assert "retargeting_rest_key" in output.error("cart_stats")["message"]


def test_the_sample_files_are_what_the_connector_takes(sandbox, connector) -> None:
    files = {path.stem: json.loads(path.read_text()) for path in HERE.glob("*.json")}
    configured = files["configured_catalog"]
    assert ConfiguredAirbyteCatalogSerializer.load(configured).streams
    config = {**files["sample_config"], **sandbox.config}
    assert set(files["sample_config"]) <= {*sandbox.config, "retargeting_window_days"}
    first = connector.run("read", config=config, catalog=configured, state=files["sample_state"])
    assert first.code == 0
    assert first.of("RECORD")
    assert connector.run("check", config=files["invalid_config"]).status["status"] == "FAILED"
    future = connector.run("read", config=config, catalog=configured, state=files["abnormal_state"])
    assert future.of("RECORD") == []
    for entry in files["abnormal_state"]:
        stream = entry["stream"]["stream_descriptor"]["name"]
        assert future.states(stream) == [entry["stream"]["stream_state"]]


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"start_date": None}, "start_date"),
        ({"start_date": "2024-02-30"}, "start_date"),
        ({"start_date": "01/02/2024"}, "start_date"),
        ({"snipcart_api_key": "", "retargeting_rest_key": " "}, "snipcart_api_key"),
        ({"snipcart_time_range": "Yesterday"}, "snipcart_time_range"),
        ({"snipcart_minimal_value": -1}, "snipcart_minimal_value"),
        ({"snipcart_page_size": 501}, "snipcart_page_size"),
        ({"snipcart_full_scan_hours": 721}, "snipcart_full_scan_hours"),
        ({"retargeting_window_days": 31}, "retargeting_window_days"),
        ({"retargeting_lookback_days": 366}, "retargeting_lookback_days"),
    ],
)
def test_settings_that_cannot_work_are_refused_before_any_request(
    sandbox, connector, change, field
) -> None:
    config = {**sandbox.config, **change}
    checked = connector.run("check", config=config)
    assert checked.code == 0
    assert checked.status["status"] == "FAILED"
    assert field in checked.status["message"]
    read = connector.read(config, "abandoned_carts")
    assert read.code == 1
    assert field in read.errors[0]["message"]
    assert read.errors[0]["failure_type"] == "config_error"
    assert sandbox.requests == []


def test_no_command_gets_a_sentence(executable) -> None:
    output = executable.run()
    assert output.code == 1
    assert "use spec, check, discover or read" in output.errors[0]["message"]


def test_a_misspelt_setting_is_warned_of(sandbox, connector) -> None:
    output = connector.run("check", config={**sandbox.config, "snipcart_emial": "a@b.example"})
    assert output.logs("WARN") == ["There is no setting snipcart_emial; it is ignored."]
    assert output.status["status"] == "SUCCEEDED"


@pytest.mark.parametrize("text", ["{", "[]", '{"start_date": "\\ud83d"}', ""])
def test_check_answers_even_where_the_settings_are_no_settings(connector, text) -> None:
    output = connector.run("check", config=text)
    assert output.status["status"] == "FAILED"
    assert output.status["message"].endswith(".")


def test_bad_files_get_a_sentence(sandbox, connector, tmp_path: Path) -> None:
    good = catalog("abandoned_carts")
    for files, word in (
        ({"config": sandbox.config, "catalog": '{"streams": 1}'}, "catalog"),
        ({"config": sandbox.config, "catalog": good, "state": '[{"stream": 5}]'}, "state"),
        ({"config": sandbox.config, "catalog": good, "state": '{"a": {}}'}, "state"),
    ):
        output = connector.run("read", **files)
        assert output.code == 1
        assert output.errors[0]["failure_type"] == "config_error"
        assert word in output.errors[0]["message"]
    missing = connector.run("check", f"--config={tmp_path / 'none.json'}")
    assert "No such file" in missing.status["message"]
    broken = connector.run("check", config='{"start_date":\nsoon}')
    assert "not JSON at line 2, column 1." in broken.status["message"]


def test_a_state_of_another_kind_gets_a_sentence(sandbox, connector) -> None:
    shared = [{"type": "GLOBAL", "global": {"shared_state": {"a": 1}, "stream_states": []}}]
    files = {"config": sandbox.config, "catalog": catalog("abandoned_carts"), "state": shared}
    output = connector.run("read", **files)
    assert output.code == 1
    assert output.errors[0]["failure_type"] == "config_error"


@pytest.mark.parametrize("key", ["n", "1", '"', ",", "e", "type"])
def test_a_short_key_leaves_the_protocol_whole(sandbox, connector, key) -> None:
    config = {**sandbox.config, "snipcart_api_key": key}
    output = connector.read(config, "abandoned_carts", "cart_stats")
    assert output.code == 1
    assert {message["type"] for message in output.messages} == {"LOG", "TRACE", "RECORD", "STATE"}


@pytest.mark.parametrize(
    "address",
    [
        "http://example.com/api",
        "http://127.0.0.1@example.com/api",
        "ftp://127.0.0.1/api",
        "https://user@example.com/api",
        "http://0.0.0.0/api",
    ],
)
def test_keys_are_sent_by_https_or_to_this_machine_only(sandbox, connector, address) -> None:
    connector.environment["SNIPCART_API_URL"] = address
    output = connector.run("check", config=sandbox.config)
    assert "SNIPCART_API_URL must hold an https address" in output.status["message"]
    assert sandbox.to("snipcart") == []


def test_a_reader_that_goes_away_ends_the_connector(sandbox, executable) -> None:
    process = executable.start("read", config=sandbox.config, catalog=catalog("abandoned_carts"))
    assert process.stdout is not None
    process.stdout.close()
    assert process.wait(timeout=20) != 0


def test_a_signal_ends_it_while_it_starts(executable, sandbox):
    """PyAirbyte, which ends it so, takes other exit codes for failures."""
    process = executable.start("read", config=sandbox.config, catalog=catalog("abandoned_carts"))
    time.sleep(0.3)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=5)
    assert process.returncode == -signal.SIGTERM
