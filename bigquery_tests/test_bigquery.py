"""Complete syncs into an emulator of BigQuery, as `make sync TO=bigquery` runs them."""

import json

import pytest

from integration_tests.harness import CARTS, STATS
from integration_tests.syncs import assert_equal, counts, make_unusual

CREDENTIALS = "DESTINATION__BIGQUERY__CREDENTIALS"


def test_keeps_every_value_of_unusual_carts(sync, database, sandbox):
    make_unusual(sandbox)
    assert counts(sync("bigquery"))[CARTS] == (121, 120, 0, 120)
    assert_equal(database, sync)


def test_merges_changes_and_fills_a_dropped_table(sync, database, sandbox):
    sync("bigquery")
    windows = database.rows("SELECT COUNT(*) AS rows_ FROM cart_stats")[0]["rows_"]
    database.rows("DROP TABLE cart_stats")
    for cart in sandbox.carts[:12]:
        cart.document |= {"total": 77.7, "newerField": [1], "email": None}
        cart.touch(sandbox.now(), "iso7")
    text = sync("bigquery")
    read, *others = counts(text)[CARTS]
    assert read < 40
    assert others == [0, 12, 120]
    assert counts(text)[STATS] == (windows, windows, 0, windows)
    assert_equal(database, sync)


def test_keeps_two_states(sync, database):
    for _ in range(3):
        sync("bigquery", "--streams", STATS)
    states = database.rows("SELECT version FROM _dlt_pipeline_state")
    assert len(states) == 2


def test_first_load_goes_on_after_a_kill_at_each_step(sync, database):
    for step in ("tables", "staging", "merge", "load"):
        sync.kill_at(step, "bigquery", "--streams", CARTS)
    assert counts(sync("bigquery", "--streams", CARTS))[CARTS].rows == 120
    assert_equal(database, sync, CARTS)


def test_refuses_a_table_of_another_program(sync, database, sandbox):
    database.client.create_dataset("carts")
    database.rows("CREATE TABLE abandoned_carts (token STRING, _airbyte_raw_id STRING)")
    text = sync("bigquery", code=1)
    assert "Another program, or an earlier version, has written abandoned_carts" in text
    assert sandbox.requests == []


def test_logs_in_with_googles_own_variable(sync, database, service_account, tmp_path):
    del sync.environment[CREDENTIALS]
    path = tmp_path / "service-account.json"
    path.write_text(json.dumps(service_account))
    sync.environment["GOOGLE_APPLICATION_CREDENTIALS"] = str(path)
    assert counts(sync("bigquery", "--streams", STATS))[STATS].new > 0


@pytest.mark.parametrize(
    ("credentials", "sentence"),
    [
        (None, f"no credentials. Set the environment variables {CREDENTIALS}__PROJECT_ID,"),
        ("s3cret", "The credentials of TO=bigquery are not valid"),
        ('{"type": "service_account", "private_key": "s3cret"}', "credentials"),
    ],
)
def test_names_the_variables_of_a_service_account(sync, database, credentials, sentence):
    del sync.environment[CREDENTIALS]
    if credentials:
        sync.environment[CREDENTIALS] = credentials
    text = sync("bigquery", code=1)
    assert sentence in text
    assert "s3cret" not in text
    assert len(text.splitlines()) <= 2
