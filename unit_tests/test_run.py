import json
import sys

import pytest

from source_abandoned_carts import SourceAbandonedCarts, run


@pytest.fixture
def entrypoint(monkeypatch):
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)  # the CDK sets its own
    return run._Entrypoint(SourceAbandonedCarts())


def messages(entrypoint, *words):
    return [json.loads(line) for line in entrypoint.run(entrypoint.parse_args(list(words)))]


@pytest.mark.parametrize("command", ["check", "discover"])
def test_an_unforeseen_error_ends_in_a_clean_trace_and_a_check_in_a_status(
    entrypoint, monkeypatch, command
):
    def broken(path):
        raise KeyError(path)

    monkeypatch.setattr(SourceAbandonedCarts, "read_config", staticmethod(broken))
    told = messages(entrypoint, command, "--config", "ann@shop.example")
    *status, trace = told
    assert entrypoint.failed
    assert trace["trace"]["error"]["failure_type"] == "system_error"
    assert "defect of the connector (KeyError)" in trace["trace"]["error"]["message"]
    assert "ann@shop.example" not in json.dumps(told)
    assert [message["connectionStatus"]["status"] for message in status] == (
        ["FAILED"] if command == "check" else []
    )


def test_no_command_is_an_error_of_whoever_ran_it(entrypoint):
    (trace,) = messages(entrypoint)
    assert trace["trace"]["error"]["failure_type"] == "config_error"
    assert entrypoint.failed


def test_what_succeeds_does_not_fail(entrypoint):
    (spec,) = messages(entrypoint, "spec")
    assert spec["type"] == "SPEC"
    assert not entrypoint.failed
