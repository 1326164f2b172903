import json
import sys

import pytest
from airbyte_cdk.entrypoint import AirbyteEntrypoint
from airbyte_cdk.utils.airbyte_secrets_utils import update_secrets

from source_abandoned_carts import SourceAbandonedCarts, commands
from source_abandoned_carts.errors import config_error

from .helpers import SETTINGS


@pytest.fixture
def run(monkeypatch, capfd, tmp_path):
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)  # the CDK sets its own

    def run(command, text):
        """Run a command that fails. Return its messages without logs; the last is the trace."""
        path = tmp_path / "config.json"
        path.write_text(text)
        assert not commands.run(AirbyteEntrypoint.parse_args([command, "--config", str(path)]))
        messages = [json.loads(line) for line in capfd.readouterr().out.splitlines()]
        return [message for message in messages if message["type"] != "LOG"]

    return run


def test_status_and_trace_of_an_expected_error_hold_no_key(run, monkeypatch):
    key = SETTINGS["snipcart_api_key"]

    def refused(*_):
        update_secrets([key])
        raise config_error(f"The service did not accept {key}.")

    monkeypatch.setattr(SourceAbandonedCarts, "check", refused)
    status, trace = run("check", json.dumps(SETTINGS))
    assert status["connectionStatus"]["message"] == "The service did not accept ****."
    assert trace["trace"]["error"]["message"] == "The service did not accept ****."


@pytest.mark.parametrize("command", ["check", "discover"])
def test_unexpected_error_prints_a_trace_and_a_check_status(run, monkeypatch, command):
    address = "@".join(["ann", "shop.example"])  # split, because a trace quotes lines of code

    def broken(*_):
        raise KeyError(address)

    monkeypatch.setattr(SourceAbandonedCarts, command, broken)
    *statuses, trace = messages = run(command, json.dumps(SETTINGS))
    assert trace["trace"]["error"]["failure_type"] == "system_error"
    assert "a defect in the connector (KeyError)" in trace["trace"]["error"]["message"]
    assert address not in json.dumps(messages)
    status = ["FAILED"] if command == "check" else []
    assert [message["connectionStatus"]["status"] for message in statuses] == status
