"""Settings and files as people write them."""

import json
from datetime import datetime, timedelta, timezone

import pytest

from tools.processes import catalog
from tools.sandbox import Fault

from .harness import CARTS, STATS, state_file

DEPARTED = "departed_carts"


def in_days(days):
    return f"{datetime.now(timezone.utc) + timedelta(days=days):%Y-%m-%d}"


def test_keys_with_white_space_work_and_are_redacted(sandbox, connector):
    config = {**sandbox.config, "snipcart_api_key": f" {sandbox.snipcart_key}\n"}
    config["retargeting_rest_key"] += "\r\n"
    assert connector.run("check", config=config).status["status"] == "SUCCEEDED"
    body = {"message": f"The key {sandbox.snipcart_key} is unknown."}
    sandbox.faults = [Fault("status", status=401, body=body)]
    output = connector.read(config, CARTS, options=("--debug",))
    assert output.error(CARTS)["failure_type"] == "config_error"
    assert sandbox.snipcart_key not in output.text


def test_check_refuses_and_read_warns_of_a_start_date_in_the_future(sandbox, connector):
    config = {**sandbox.config, "start_date": in_days(2)}
    status = connector.run("check", config=config).status
    assert status["status"] == "FAILED"
    assert "“Start date” (start_date) is in the future" in status["message"]
    assert sandbox.requests == []
    output = connector.read(config, CARTS, STATS)
    assert output.code == 0
    assert output.records(STATS) == []
    assert {cart.get("modificationDate") for cart in output.records(CARTS)} == {None}
    assert "The start date is in the future" in output.logs("WARN")[0]


@pytest.mark.parametrize("days", [-1, 0, 1])
def test_check_accepts_a_start_date_around_today(sandbox, connector, days):
    config = {**sandbox.config, "start_date": in_days(days)}
    assert connector.run("check", config=config).status["status"] == "SUCCEEDED"


def test_start_date_in_another_notation_keeps_the_state(sandbox, connector):
    first = connector.read(sandbox.config, CARTS, STATS)
    states = {stream: first.states(stream)[-1] for stream in (CARTS, STATS)}
    for text in ("2024-01-01T00:00:00.000Z", "2024-01-01T00:00:00+00:00"):
        again = connector.read({**sandbox.config, "start_date": text}, CARTS, STATS, state=states)
        assert (again.code, again.logs("WARN")) == (0, [])
        assert len(again.records(CARTS)) < len(first.records(CARTS))


def test_full_refresh_of_departed_carts_is_refused_and_leaves_the_others(sandbox, connector):
    config = {**sandbox.config, "snipcart_departed_carts": True}
    output = connector.read(config, DEPARTED, CARTS, mode="full_refresh")
    assert output.code == 1
    assert output.error(DEPARTED)["failure_type"] == "config_error"
    assert "does not support the sync mode full_refresh" in output.error(DEPARTED)["message"]
    assert output.statuses(DEPARTED)[-1] == "INCOMPLETE"
    assert output.statuses(CARTS)[-1] == "COMPLETE"
    assert len(output.records(CARTS)) == len(sandbox.carts)


def test_departed_carts_without_the_snipcart_key_are_refused(sandbox, connector):
    config = {**sandbox.config, "snipcart_departed_carts": True, "snipcart_api_key": ""}
    message = connector.run("check", config=config).status["message"]
    assert "snipcart_departed_carts" in message
    assert "snipcart_api_key" in message
    assert connector.read(config, STATS).errors[0]["failure_type"] == "config_error"


def test_byte_order_mark_does_no_harm(sandbox, connector):
    files = {
        "config": sandbox.config,
        "catalog": catalog(STATS),
        "state": state_file({STATS: {}}),
    }
    marked = {name: f"\ufeff{json.dumps(value)}" for name, value in files.items()}
    output = connector.run("read", **marked)
    assert output.code == 0
    assert output.records(STATS)


def test_trailing_comma_is_refused_with_its_place(sandbox, connector):
    config = json.dumps(sandbox.config)[:-1] + ",}"
    message = connector.run("check", config=config).status["message"]
    assert "is not JSON (line 1, column " in message
    assert "Remove the comma" in message
    assert sandbox.snipcart_key not in message


def test_global_state_is_refused(sandbox, connector):
    state = [{"type": "GLOBAL", "global": {"stream_states": []}}]
    output = connector.run("read", config=sandbox.config, catalog=catalog(STATS), state=state)
    assert output.errors[0]["failure_type"] == "config_error"
    assert "is JSON, but not a state" in output.errors[0]["message"]


def test_warns_of_carts_without_a_token(sandbox, connector):
    for cart, token in zip(sandbox.carts, (None, "", None), strict=False):
        cart.document["token"] = token
    del sandbox.carts[2].document["token"]
    output = connector.read(sandbox.config, CARTS)
    assert len(output.records(CARTS)) == len(sandbox.carts)
    assert "3 of the emitted carts have no token" in output.logs("WARN")[0]
