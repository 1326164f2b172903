import json
import sys

import pytest
from airbyte_cdk.entrypoint import AirbyteEntrypoint

from source_abandoned_carts import SourceAbandonedCarts, commands

from .helpers import SETTINGS


@pytest.fixture
def run(monkeypatch, capsys):
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)  # the CDK sets its own

    def run(*arguments):
        """Run a command. Return whether it succeeded, and its messages but for logs."""
        succeeded = commands.run(AirbyteEntrypoint.parse_args(list(arguments)))
        messages = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
        return succeeded, [message for message in messages if message["type"] != "LOG"]

    return run


@pytest.fixture
def config(tmp_path):
    path = tmp_path / "config.json"
    path.write_text(json.dumps(SETTINGS))
    return str(path)


def test_spec_and_discover_print_one_message(run, config):
    for arguments, kind in ((["spec"], "SPEC"), (["discover", "--config", config], "CATALOG")):
        succeeded, messages = run(*arguments)
        assert (succeeded, [message["type"] for message in messages]) == (True, [kind])


def test_no_command_is_a_config_error(run):
    succeeded, (trace,) = run()
    assert not succeeded
    assert trace["trace"]["error"]["failure_type"] == "config_error"


@pytest.mark.parametrize("command", ["check", "discover"])
def test_an_unexpected_error_prints_a_trace_and_a_check_its_status(
    run, config, monkeypatch, command
):
    address = "@".join(["ann", "shop.example"])  # in two, because a trace quotes lines of code

    def broken(*_):
        raise KeyError(address)

    monkeypatch.setattr(SourceAbandonedCarts, command, broken)
    succeeded, messages = run(command, "--config", config)
    *statuses, trace = messages
    assert not succeeded
    assert trace["trace"]["error"]["failure_type"] == "system_error"
    assert "a defect in the connector (KeyError)" in trace["trace"]["error"]["message"]
    assert address not in json.dumps(messages)
    status = ["FAILED"] if command == "check" else []
    assert [message["connectionStatus"]["status"] for message in statuses] == status


@pytest.mark.parametrize("name", ["config", "catalog", "state"])
@pytest.mark.parametrize("text", [None, '{"snipcart_api_key": "sesame"', '"sesame"', '["sesame"]'])
def test_a_file_that_cannot_be_read_is_a_config_error(run, config, tmp_path, name, text):
    catalog = tmp_path / "catalog.json"
    catalog.write_text('{"streams": []}')
    path = tmp_path / "broken.json"
    if text is not None:
        path.write_text(text)
    files = {"config": config, "catalog": str(catalog), "state": str(catalog), name: str(path)}
    succeeded, messages = run("read", *[word for n, p in files.items() for word in (f"--{n}", p)])
    assert not succeeded
    error = messages[-1]["trace"]["error"]
    assert error["failure_type"] == "config_error"
    assert "sesame" not in json.dumps(messages)
    assert str(path) in error["message"]
