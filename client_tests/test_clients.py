"""What clients of Airbyte sources do with the records. docs/sync.md names what they lose."""

import json
from urllib.parse import quote, urlsplit

import pytest

from integration_tests.databases import PASSWORD, postgresql_server
from integration_tests.forks import EXECUTABLE
from integration_tests.harness import ROOT, Runner
from source_abandoned_carts.json_schemas import read_schema
from source_abandoned_carts.snipcart import normalize_dates
from tools.sandbox import Sandbox, make_carts

from .clients import KEYS, AirbyteServerless, PyAirbyte, Singer

LISTED = ("abandoned_carts", "cart_stats")


@pytest.fixture
def sandbox():
    """A sandbox with all fields, and with each kind of value that was seen."""
    with Sandbox(300) as sandbox:
        yield sandbox


def change(sandbox):
    """Change some carts, add one, and abandon another in the window that is still running."""
    for cart in sandbox.carts[::7]:
        cart.document |= {"total": 77.7, "email": None, "metadata": {"changed": [1, {"x": None}]}}
        cart.touch(sandbox.now(), "iso7")
    new = make_carts(301)[-1]
    new.touch(sandbox.now())
    sandbox.carts.append(new)
    sandbox.abandoned.append(int(sandbox.now().timestamp()) - 60)


def expected(client, connector, stream):
    """Return the row in which the client should store each record that the connector emits."""
    records = connector.read(client.settings, stream).records(stream)
    assert records
    stored = [client.stored(record, read_schema(stream)) for record in records]
    return {str(row[KEYS[stream]]): row for row in stored}


def without_end_of_sync(rows):
    """Leave out the end of the window that is still running: it is the time of the sync."""
    last = max(rows)
    return rows | {last: {**rows[last], "date_to": None}}


@pytest.mark.parametrize("kind", [PyAirbyte, Singer, AirbyteServerless])
def test_two_syncs_store_every_value(kind, sandbox, tmp_path):
    client, connector = kind(tmp_path, sandbox), Runner(tmp_path, sandbox)
    for _ in range(2):
        client.sync()
        carts, stats = (expected(client, connector, stream) for stream in LISTED)
        assert client.rows("abandoned_carts") == carts
        assert without_end_of_sync(client.rows("cart_stats")) == without_end_of_sync(stats)
        change(sandbox)


@pytest.mark.parametrize("kind", [PyAirbyte, Singer])
def test_stores_bought_carts(kind, sandbox, tmp_path):
    client = kind(tmp_path, sandbox)
    client.sync()
    bought = next(cart for cart in sandbox.carts if "card" in cart.document)
    bought.document["customFields"] = []
    bought.complete(sandbox.now())
    client.sync()
    normalize_dates(bought.document)
    (row,) = client.rows("departed_carts").values()
    assert row["cart"] == bought.document
    assert row["status"] == "Processed"


def test_pyairbyte_loses_what_the_docs_name(tmp_path):
    with Sandbox(20) as sandbox:
        cart = sandbox.carts[0]
        cart.document |= {"Email": "capital", "newField": 1, "baseTotal": 0.12345678949}
        cart.touch(sandbox.now(), "iso7")
        client = PyAirbyte(tmp_path, sandbox)
        client.sync()
        row = client.rows("abandoned_carts")[cart.token]
    assert row["email"] == "capital"
    assert "newfield" not in row
    assert row["basetotal"] == 0.123456789
    assert "Could not determine airbyte type" in client.output


@pytest.mark.parametrize(
    ("field", "value", "error"),
    [
        ("metadata", {"a": 1}, "can't adapt type 'dict'"),
        ("lang", "NUL \0", "cannot contain NUL"),
    ],
)
def test_postgres_cache_of_pyairbyte_fails(tmp_path, field, value, error):
    with Sandbox(1) as sandbox, postgresql_server() as server:
        sandbox.carts[0].document[field] = value
        client = PyAirbyte(tmp_path, sandbox)
        script, port = ROOT / "client_tests/postgres_cache.py", urlsplit(server).port
        arguments = EXECUTABLE, json.dumps(client.settings), port, quote(PASSWORD, safe="")
        result = client.run("python", script, *arguments)
    assert result.returncode == 1
    assert error in result.stderr


def test_airbyte_serverless_exits_with_0_when_a_sync_fails(tmp_path):
    with Sandbox(20) as sandbox:
        client = AirbyteServerless(tmp_path, sandbox)
        client.settings["snipcart_api_key"] = "wrong"
        result = client.abs_run()
    assert "Copy the secret key again" in result.stdout + result.stderr
    assert result.returncode == 0
