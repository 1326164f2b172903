"""spec, check, discover and read as a platform uses them."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from airbyte_cdk.models import ConfiguredAirbyteCatalogSerializer

from .conftest import HERE, catalog

ROOT = HERE.parent
CARTS = "abandoned_carts"
STATS = "cart_stats"


def test_spec_marks_the_keys_as_secret_and_has_no_address(executable):
    output = executable.run("spec")
    (message,) = output.of("SPEC")
    spec = message["spec"]["connectionSpecification"]
    assert output.code == 0
    assert spec["required"] == ["start_date"]
    secrets = {name for name, field in spec["properties"].items() if field.get("airbyte_secret")}
    assert secrets == {"snipcart_api_key", "retargeting_rest_key"}
    assert not [name for name in spec["properties"] if "url" in name]
    done = subprocess.run(
        [sys.executable, str(ROOT / "main.py"), "spec"], capture_output=True, text=True, check=True
    )
    assert message in map(json.loads, done.stdout.splitlines())


def test_check_succeeds_and_names_the_connector(sandbox, connector):
    output = connector.run("check", config=sandbox.config)
    assert (output.code, output.status["status"]) == (0, "SUCCEEDED")
    assert "Snipcart and Retargeting" in output.status["message"]
    agents = {request.headers["user-agent"] for request in sandbox.requests}
    assert agents == {"source-abandoned-carts/0.1.0"}


def test_discover_lists_the_streams_that_are_turned_on(sandbox, connector):
    for missing, found in (
        (None, [CARTS, STATS]),
        ("snipcart_api_key", [STATS]),
        ("retargeting_rest_key", [CARTS]),
    ):
        config = {name: value for name, value in sandbox.config.items() if name != missing}
        (message,) = connector.run("discover", config=config).of("CATALOG")
        streams = message["catalog"]["streams"]
        assert [stream["name"] for stream in streams] == found
    assert sandbox.requests == []
    for stream, key, cursor in ((streams[0], "token", "modificationDate"),):
        assert stream["source_defined_primary_key"] == [[key]]
        assert stream["default_cursor_field"] == [cursor]
        assert stream["source_defined_cursor"] is True
        assert stream["supported_sync_modes"] == ["full_refresh", "incremental"]
        assert stream["is_resumable"] is False
        assert stream["json_schema"]["additionalProperties"] is True


def test_full_refresh_emits_everything_again_with_any_state(sandbox, connector):
    """A platform that retries a full refresh with its state must not get a part of it."""
    first = connector.read(sandbox.config, CARTS, STATS, mode="full_refresh")
    states = {stream: first.states(stream)[-1] for stream in (CARTS, STATS)}
    again = connector.read(sandbox.config, CARTS, STATS, mode="full_refresh", state=states)
    for stream in (CARTS, STATS):
        assert len(first.records(stream)) == len(again.records(stream)) > 0


@pytest.mark.parametrize("mode", ["full_refresh", "incremental"])
def test_read_emits_both_streams_with_statuses_and_counts(sandbox, connector, mode):
    output = connector.read(sandbox.config, CARTS, STATS, mode=mode)
    assert output.code == 0
    assert len(output.records(CARTS)) == len(sandbox.carts)
    assert sum(record["abandoned"] for record in output.records(STATS)) == len(sandbox.abandoned)
    for stream in (CARTS, STATS):
        assert [
            status["status"]
            for status in (message["trace"].get("stream_status") for message in output.of("TRACE"))
            if status and status["stream_descriptor"]["name"] == stream
        ] == ["STARTED", "RUNNING", "COMPLETE"]
        assert sum(
            message["state"]["sourceStats"]["recordCount"]
            for message in output.of("STATE")
            if message["state"]["stream"]["stream_descriptor"]["name"] == stream
        ) == len(output.records(stream))


def test_empty_catalog_ends_well(sandbox, connector):
    output = connector.read(sandbox.config)
    assert (output.code, output.of("RECORD")) == (0, [])


def test_stream_that_is_not_turned_on_fails_alone(sandbox, connector):
    config = {**sandbox.config, "retargeting_rest_key": ""}
    output = connector.read(config, CARTS, STATS, "orders")
    assert output.code == 1
    assert len(output.records(CARTS)) == len(sandbox.carts)
    for stream in (STATS, "orders"):
        assert output.error(stream)["failure_type"] == "config_error"
    assert "retargeting_rest_key" in output.error(STATS)["message"]


def test_sample_files_are_valid(sandbox, connector):
    files = {path.stem: json.loads(path.read_text()) for path in HERE.glob("*.json")}
    configured = files["configured_catalog"]
    assert ConfiguredAirbyteCatalogSerializer.load(configured).streams
    config = {**files["sample_config"], **sandbox.config}
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
        ({"start_date": "2024-02-30"}, "start_date"),
        ({"snipcart_api_key": "", "retargeting_rest_key": " "}, "snipcart_api_key"),
        ({"snipcart_page_size": 501}, "snipcart_page_size"),
    ],
)
def test_refuses_settings_that_cannot_work_before_any_request(sandbox, connector, change, field):
    config = {**sandbox.config, **change}
    checked = connector.run("check", config=config)
    assert (checked.code, checked.status["status"]) == (0, "FAILED")
    assert field in checked.status["message"]
    read = connector.read(config, CARTS)
    assert read.code == 1
    assert field in read.errors[0]["message"]
    assert read.errors[0]["failure_type"] == "config_error"
    assert sandbox.requests == []


def test_warns_of_a_misspelt_setting(sandbox, connector):
    output = connector.run("check", config={**sandbox.config, "snipcart_emial": "a@b.example"})
    assert "snipcart_emial" in output.logs("WARN")[0]
    assert output.status["status"] == "SUCCEEDED"


@pytest.mark.parametrize("text", ["{", "[]", '{"start_date": "\\ud83d"}', ""])
def test_check_answers_when_the_configuration_is_invalid(connector, text):
    output = connector.run("check", config=text)
    assert output.status["status"] == "FAILED"
    assert output.status["message"].endswith(".")


def test_names_a_file_that_cannot_be_read(sandbox, connector, executable, tmp_path: Path):
    good = catalog(CARTS)
    for files, word in (
        ({"catalog": '{"streams": 1}'}, "catalog"),
        ({"catalog": good, "state": '[{"stream": 5}]'}, "state"),
        ({"catalog": good, "state": '{"a": {}}'}, "state"),
    ):
        output = connector.run("read", config=sandbox.config, **files)
        assert output.code == 1
        assert output.errors[0]["failure_type"] == "config_error"
        assert word in output.errors[0]["message"]
    missing = connector.run("check", f"--config={tmp_path / 'none.json'}")
    assert "No such file" in missing.status["message"]
    nothing = executable.run()
    assert nothing.code == 1
    assert "Use spec, check, discover or read" in nothing.errors[0]["message"]


@pytest.mark.parametrize("key", ["n", '"', "type"])
def test_short_key_leaves_the_messages_whole(sandbox, connector, key):
    config = {**sandbox.config, "snipcart_api_key": key}
    output = connector.read(config, CARTS, STATS)
    assert output.code == 1
    assert {message["type"] for message in output.messages} == {"LOG", "TRACE", "RECORD", "STATE"}


def test_ends_when_the_reader_goes_away(sandbox, executable):
    process = executable.start("read", config=sandbox.config, catalog=catalog(CARTS))
    assert process.stdout is not None
    process.stdout.close()
    assert process.wait(timeout=20) != 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signal_ends_the_command_while_it_starts(executable, sandbox, number):
    """PyAirbyte ends the connector so, and takes any exit code for a failure."""
    process = executable.start("read", config=sandbox.config, catalog=catalog(CARTS))
    time.sleep(0.3)
    process.send_signal(number)
    process.communicate(timeout=5)
    assert process.returncode == -number


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signal_breaks_no_line_and_leaves_no_file(make_sandbox, lead_to, tmp_path, number):
    """The reader is so slow that the command is stopped in the middle of a write."""
    sandbox = make_sandbox(1000)
    connector = lead_to(sandbox)
    folder = tmp_path / "tmp"
    folder.mkdir()
    connector.environment["TMPDIR"] = str(folder)
    process = connector.start("read", config=sandbox.config, catalog=catalog(CARTS))
    assert process.stdout is not None
    begin = process.stdout.read(1)
    time.sleep(1)
    process.send_signal(number)
    text = begin + process.communicate(timeout=10)[0]
    assert process.returncode == -number
    *whole, _ = text.split("\n")
    messages = [json.loads(line) for line in whole]
    tokens = [m["record"]["data"]["token"] for m in messages if m["type"] == "RECORD"]
    assert 0 < len(tokens) == len(set(tokens)) < 1000
    assert list(folder.iterdir()) == []
