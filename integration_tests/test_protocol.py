"""The commands spec, check, discover and read, as a platform uses them."""

import array
import fcntl
import json
import re
import signal
import subprocess
import sys
import termios
import time
from importlib.metadata import version

import pytest
from airbyte_cdk.models import ConfiguredAirbyteCatalogSerializer

from tools.processes import catalog
from tools.sandbox import Fault, make_carts

from .harness import CARTS, ROOT, STATS, wait_for_import


def test_spec_marks_the_keys_as_secret_and_has_no_url(executable):
    output = executable.run("spec")
    (message,) = output.of("SPEC")
    spec = message["spec"]["connectionSpecification"]
    assert output.code == 0
    assert spec["required"] == ["start_date"]
    secrets = {name for name, field in spec["properties"].items() if field.get("airbyte_secret")}
    assert secrets == {"snipcart_api_key", "retargeting_rest_key"}
    assert not [name for name in spec["properties"] if "url" in name]


def test_main_py_runs_the_command(executable):
    (message,) = executable.run("spec").of("SPEC")
    text = subprocess.check_output([sys.executable, ROOT / "main.py", "spec"], text=True)
    assert message in map(json.loads, text.splitlines())


def test_check_succeeds_and_warns_of_a_misspelt_setting(sandbox, connector):
    output = connector.run("check", config={**sandbox.config, "snipcart_emial": "a@b.example"})
    assert (output.code, output.status["status"]) == (0, "SUCCEEDED")
    assert "Snipcart and Retargeting" in output.status["message"]
    assert "snipcart_emial. Did you mean snipcart_email?" in output.logs("WARN")[0]
    agents = {request.headers["user-agent"] for request in sandbox.requests}
    assert agents == {f"source-abandoned-carts/{version('source-abandoned-carts')}"}


def test_discover_lists_the_streams_that_are_turned_on(sandbox, connector):
    for missing, found in (
        ("snipcart_api_key", {STATS: ("date_from", "date_to")}),
        ("retargeting_rest_key", {CARTS: ("token", "modificationDate")}),
    ):
        config = {name: value for name, value in sandbox.config.items() if name != missing}
        (message,) = connector.run("discover", config=config).of("CATALOG")
        (stream,) = message["catalog"]["streams"]
        key, cursor = found[stream["name"]]
        assert stream["source_defined_primary_key"] == [[key]]
        assert stream["default_cursor_field"] == [cursor]
        assert stream["source_defined_cursor"] is True
        assert stream["supported_sync_modes"] == ["full_refresh", "incremental"]
        assert stream["is_resumable"] is False
    assert sandbox.requests == []


def test_read_emits_both_streams_with_statuses_and_counts(sandbox, connector):
    output = connector.read(sandbox.config, CARTS, STATS)
    assert output.code == 0
    assert len(output.records(CARTS)) == len(sandbox.carts)
    assert sum(record["abandoned"] for record in output.records(STATS)) == len(sandbox.abandoned)
    counts = dict.fromkeys((CARTS, STATS), 0)
    for state in (message["state"] for message in output.of("STATE")):
        counts[state["stream"]["stream_descriptor"]["name"]] += state["sourceStats"]["recordCount"]
    for stream in (CARTS, STATS):
        assert counts[stream] == len(output.records(stream))
        assert output.statuses(stream) == ["STARTED", "RUNNING", "COMPLETE"]


def test_full_refresh_ignores_the_state(sandbox, connector):
    """A platform may retry a full refresh with the state of the failed attempt."""
    first = connector.read(sandbox.config, CARTS, STATS, mode="full_refresh")
    states = {stream: first.states(stream)[-1] for stream in (CARTS, STATS)}
    again = connector.read(sandbox.config, CARTS, STATS, mode="full_refresh", state=states)
    for stream in (CARTS, STATS):
        assert len(first.records(stream)) == len(again.records(stream)) > 0
    assert len(first.records(CARTS)) == len(sandbox.carts)


def test_empty_catalog_succeeds(sandbox, connector):
    output = connector.read(sandbox.config)
    assert (output.code, output.of("RECORD")) == (0, [])


@pytest.fixture
def sample_files():
    paths = ROOT.glob("integration_tests/*.json")
    return {path.stem: json.loads(path.read_text()) for path in paths}


def test_sample_files_are_valid(sandbox, connector, sample_files):
    configured, state = sample_files["configured_catalog"], sample_files["sample_state"]
    assert ConfiguredAirbyteCatalogSerializer.load(configured).streams
    config = {**sample_files["sample_config"], **sandbox.config}
    output = connector.run("read", config=config, catalog=configured, state=state)
    assert output.code == 0
    assert output.of("RECORD")
    invalid = sample_files["invalid_config"]
    assert connector.run("check", config=invalid).status["status"] == "FAILED"


def test_abnormal_state_is_in_the_future_and_kept(sandbox, connector, sample_files):
    config = {**sample_files["sample_config"], **sandbox.config}
    read = {"config": config, "catalog": sample_files["configured_catalog"]}
    first = connector.run("read", **read)
    future = connector.run("read", **read, state=sample_files["abnormal_state"])
    assert future.of("RECORD") == []
    for entry in sample_files["abnormal_state"]:
        stream = entry["stream"]["stream_descriptor"]["name"]
        assert future.states(stream) == [entry["stream"]["stream_state"]]
        # Airbyte's older acceptance tests require the format of a real state.
        for key, value in entry["stream"]["stream_state"].items():
            saved = str(first.states(stream)[-1][key])
            assert re.sub("[0-9]", "9", saved) == re.sub("[0-9]", "9", str(value))


def test_debug_logs_a_line_for_each_request(sandbox, connector):
    sandbox.faults = [Fault("status", status=503), Fault("reset", "retargeting")]
    config = {**sandbox.config, "start_date": "2026-01-01", "snipcart_page_size": 100}
    output = connector.read(config, CARTS, STATS, options=("--debug",))
    assert output.code == 0
    assert {m["type"] for m in output.messages} == {"LOG", "TRACE", "RECORD", "STATE"}
    lines = [log for log in output.logs("DEBUG") if ", attempt " in log]
    assert len(lines) == len(sandbox.requests)
    size = r"[0-9,]+ bytes, [0-9,]+ ms"
    for pattern in (
        r"Snipcart /carts/abandoned, limit 100, attempt 1: 503, 0 bytes, [0-9,]+ ms",
        rf"Snipcart /carts/abandoned, limit 100, attempt 2: 200, {size}",
        r"Retargeting /shopping-carts, 2026-01-01T00:00:00Z to 2026-01-30T23:59:59Z, "
        r"attempt 1: no response, 0 bytes, [0-9,]+ ms",
        rf"Retargeting /shopping-carts, 2026-01-31T00:00:00Z to [0-9T:-]+Z, attempt 1: 200, {size}",
    ):
        assert [line for line in lines if re.fullmatch(pattern, line)], pattern


def test_debug_hides_the_token_of_a_single_cart(sandbox, connector):
    config = {**sandbox.config, "snipcart_departed_carts": True}
    (state,) = connector.read(config, "departed_carts").states("departed_carts")
    sandbox.carts[0].complete(sandbox.now())
    state = {"departed_carts": state}
    output = connector.read(config, "departed_carts", state=state, options=("--debug",))
    (record,) = output.records("departed_carts")
    logs = " ".join(output.logs("DEBUG"))
    assert "Snipcart /carts/abandoned/{token}, attempt 1: 200, " in logs
    assert record["token"] == sandbox.carts[0].token
    assert record["token"] not in logs


def test_rejects_invalid_settings_before_any_request(sandbox, connector):
    config = {**sandbox.config, "retargeting_window_days": 31}
    checked = connector.run("check", config=config)
    assert (checked.code, checked.status["status"]) == (0, "FAILED")
    assert "retargeting_window_days" in checked.status["message"]
    read = connector.read(config, CARTS)
    assert read.code == 1
    assert "retargeting_window_days" in read.errors[0]["message"]
    assert read.errors[0]["failure_type"] == "config_error"
    assert sandbox.requests == []


def test_reports_an_invalid_file_and_a_missing_command(connector):
    for text in ("{", '{"start_date": "\\ud83d"}'):
        status = connector.run("check", config=text).status
        assert status["status"] == "FAILED"
        assert status["message"].endswith(".")
    output = connector.run()
    assert output.code == 1
    assert "Use spec, check, discover or read" in output.errors[0]["message"]


@pytest.mark.parametrize("key", ['"', "type"])
def test_short_key_does_not_break_the_messages(sandbox, connector, key):
    output = connector.read({**sandbox.config, "snipcart_api_key": key}, CARTS, STATS)
    assert output.code == 1
    assert {message["type"] for message in output.messages} == {"LOG", "TRACE", "RECORD", "STATE"}


def test_ends_when_the_reader_closes_the_pipe(sandbox, executable):
    process = executable.start("read", config=sandbox.config, catalog=catalog(CARTS))
    assert process.stdout is not None
    process.stdout.close()
    assert process.wait(timeout=60) != 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signal_ends_the_command_during_startup(executable, sandbox, number):
    """PyAirbyte ends the connector by a signal, and takes any exit code for a failure."""
    executable.environment["PYTHONPROFILEIMPORTTIME"] = "1"
    process = executable.start("read", config=sandbox.config, catalog=catalog(CARTS))
    wait_for_import(process, "airbyte_cdk.models")
    process.send_signal(number)
    process.communicate(timeout=60)
    assert process.returncode == -number


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signal_breaks_no_line_and_leaves_no_file(sandbox, connector, tmp_path, number):
    """Nobody reads the pipe, so the signal arrives during a write."""
    sandbox.carts = make_carts(1000)
    folder = tmp_path / "tmp"
    folder.mkdir()
    connector.environment["TMPDIR"] = str(folder)
    process = connector.start("read", config=sandbox.config, catalog=catalog(CARTS))
    unread = array.array("i", [0])
    deadline = time.monotonic() + 60
    while unread[0] < 50_000:  # a pipe holds 65,536 bytes
        assert time.monotonic() < deadline
        time.sleep(0.05)
        fcntl.ioctl(process.stdout, termios.FIONREAD, unread)
    process.send_signal(number)
    text, _ = process.communicate(timeout=60)
    assert process.returncode == -number
    *lines, _ = text.split("\n")
    messages = [json.loads(line) for line in lines]
    tokens = [m["record"]["data"]["token"] for m in messages if m["type"] == "RECORD"]
    assert 0 < len(tokens) == len(set(tokens)) < 1000
    assert list(folder.iterdir()) == []
