"""Complete syncs into real databases, as `make sync` runs them."""

import copy
import re
from datetime import datetime, timezone

import duckdb
import psycopg2
import pytest

from sync.columns import OTHERS
from tools.sandbox import Fault

from .databases import DuckDB
from .harness import CARTS, ROOT, STATS
from .syncs import assert_equal, counts, make_unusual


def test_keeps_every_value_of_unusual_carts(sync, database, sandbox):
    make_unusual(sandbox)
    assert counts(sync(database.url))[CARTS] == (121, 120, 0, 120)
    assert_equal(database, sync)


def test_values_that_fit_no_column_are_in_the_json_column(sync, database, sandbox):
    make_unusual(sandbox)
    sync(database.url, "--streams", CARTS)
    (row,) = database.rows(
        "SELECT invoice_number, completion_date, base_total, total, status, "
        f"{OTHERS} FROM abandoned_carts WHERE id = '9007199254740993'"
    )
    assert row == {
        "invoice_number": "00123",
        "base_total": 0.1 + 0.2,
        "total": None,
        "status": '{"a": 1}',
        "completion_date": datetime(2026, 1, 1, 6, 2, 3, 123456, tzinfo=timezone.utc),
        OTHERS: {
            "newField": {"deep": [1, {"x": None}], "text": "00042"},
            "Email": "capital",
            "___": 1,
            "total": 9007199254740993,
            "lang": 7,
            "user": [],
        },
    }
    nulls = f"SELECT 1 FROM abandoned_carts WHERE CAST({OTHERS} AS TEXT) = 'null'"
    assert database.rows(nulls) == []


def test_merges_changes_and_counts_them(sync, database, sandbox):
    sync(database.url, "--streams", CARTS)
    for cart in sandbox.carts[:12]:
        cart.touch(sandbox.now(), "iso7")
    for cart in sandbox.carts[:10]:
        cart.document |= {"total": 77.7, "newerField": [1], "email": None}
    new = [copy.deepcopy(sandbox.carts[0]) for _ in range(3)]
    for number, cart in enumerate(new):
        cart.document["token"] = f"new-{number}"
    sandbox.carts += new
    read, *others = counts(sync(database.url, "--streams", CARTS))[CARTS]
    assert read < 40
    assert others == [3, 12, 123]
    assert_equal(database, sync, CARTS)


def test_creates_a_dropped_column_and_table_again(sync, database, sandbox):
    sync(database.url)
    database.rows("ALTER TABLE abandoned_carts DROP COLUMN completion_date")
    database.rows("DROP TABLE cart_stats")
    sandbox.carts[0].touch(sandbox.now())
    windows = counts(text := sync(database.url))[STATS].rows
    assert counts(text)[STATS] == (windows, windows, 0, windows)
    assert counts(text)[CARTS].rows == 120
    database.rows("SELECT completion_date FROM abandoned_carts")
    assert_equal(database, sync, STATS)


def test_stores_departed_carts(sync, database, sandbox):
    sync.config["snipcart_departed_carts"] = True
    sync(database.url, "--streams", "departed_carts")
    bought, deleted = sandbox.carts[20:22]
    bought.complete(sandbox.now())
    deleted.delete()
    sync(database.url, "--streams", "departed_carts")
    rows = database.rows("SELECT token, status, cart FROM departed_carts ORDER BY status")
    found = [(row["token"], row["status"]) for row in rows]
    assert found == [(bought.token, "Processed"), (deleted.token, None)]
    assert rows[0]["cart"]["items"] == bought.document["items"]


def test_names_the_services_and_shows_retries(sync, sandbox, tmp_path):
    sandbox.faults = [Fault("status", "snipcart", 2, 503, {"Retry-After": "1"})]
    reading, *others = sync(DuckDB(tmp_path).url).splitlines()
    assert reading.startswith("Reading abandoned_carts from Snipcart, cart_stats from Retargeting")
    retries = [line for line in others if "Retrying in" in line]
    assert len(retries) == 2
    for line in retries:
        assert "Snipcart failed to process the request (HTTP 503 Service Unavailable)." in line


def test_draws_the_picture(sync, database, sandbox, tmp_path):
    for cart in sandbox.carts:
        cart.document["items"][0].update(id="other", name="\x1b[31m$x^$ [red]")
    sync.config["snipcart_departed_carts"] = True
    picture = tmp_path / "new folder/carts.png"
    text = sync(database.url, "--picture", str(picture))
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert " [31m$x^$ [red] " in text
    assert "\x1b" not in text


def test_rereads_all_carts_after_a_failure(sync, tmp_path):
    database = DuckDB(tmp_path)
    sync.sandbox.faults = [Fault("status", "snipcart", 99, status=401)]
    text = sync(database.url, code=1)
    assert "Snipcart refused the request (HTTP 401 Unauthorized)." in text
    assert counts(text)[CARTS] == (0, 0, 0, 0)
    windows = counts(text)[STATS].rows
    sync.sandbox.faults = []
    text = sync(database.url)
    assert counts(text)[CARTS] == (120, 120, 0, 120)
    assert counts(text)[STATS][::3] == (2, windows)


def test_rereads_all_carts_only_after_changed_settings(sync, tmp_path):
    database = DuckDB(tmp_path)
    sync(database.url, "--streams", CARTS)
    sync.config = dict(reversed(sync.config.items()))
    text = sync(database.url, "--streams", CARTS)
    assert "The settings changed." not in text
    assert counts(text)[CARTS].read < 40
    sync.config["snipcart_minimal_value"] = 0
    text = sync(database.url, "--streams", CARTS)
    assert "The settings changed." in text
    assert counts(text) == {CARTS: (120, 0, 0, 120)}
    (states,) = database.rows("SELECT COUNT(*) AS rows FROM _dlt_pipeline_state")
    assert states["rows"] == 2


def test_changed_settings_keep_the_history_of_departed_carts(sync, sandbox, tmp_path):
    database = DuckDB(tmp_path)
    sync.config["snipcart_departed_carts"] = True
    sync(database.url, "--streams", "departed_carts")
    sandbox.carts[3].complete(sandbox.now())
    sync.config["snipcart_page_size"] = 20
    text = sync(database.url, "--streams", "departed_carts")
    assert "The settings changed." not in text
    assert counts(text) == {"departed_carts": (1, 1, 0, 1)}


@pytest.mark.slow
def test_carts_that_left_before_departed_carts_was_turned_on_count_as_abandoned(
    sync, sandbox, tmp_path
):
    database = DuckDB(tmp_path)
    sync(database.url, "--streams", CARTS)
    sandbox.carts[3].delete()
    sync.config["snipcart_departed_carts"] = True
    for _ in range(2):
        sync(database.url, "--streams", "departed_carts")
    query = (ROOT / "docs/queries/outcomes.sql").read_text()
    assert {row["outcome"] for row in database.rows(query)} == {"still abandoned"}


@pytest.mark.slow
def test_deleted_rows_come_back_only_if_a_sync_emits_them(sync, sandbox, tmp_path):
    database = DuckDB(tmp_path)
    sync(database.url, "--streams", CARTS)
    dated = sorted((cart for cart in sandbox.carts if cart.modified), key=lambda c: c.modified)
    unchanged, changed = dated[:2]
    rows = f"FROM {CARTS} WHERE token IN ('{unchanged.token}', '{changed.token}')"
    database.rows(f"DELETE {rows}")
    changed.touch(sandbox.now())
    sync(database.url, "--streams", CARTS)
    assert database.rows(f"SELECT token {rows}") == [{"token": changed.token}]


def test_table_gets_the_new_fields_of_a_later_version(sync, database):
    sync.module = "integration_tests.earlier_version currency"
    sync(database.url)
    sync.module = "sync"
    sync.sandbox.carts[5].touch(sync.sandbox.now())
    summary = counts(sync(database.url))[CARTS]
    assert (summary.new, summary.rows) == (0, 120)
    (row,) = database.rows(f"SELECT count(*) AS filled FROM {CARTS} WHERE currency IS NOT NULL")
    assert row["filled"] > 0


def test_files_get_the_new_records_of_each_sync(sync, sandbox, tmp_path):
    sync.environment["DESTINATION__FILESYSTEM__BUCKET_URL"] = str(tmp_path / "lake")
    sync("filesystem", "--streams", CARTS)
    sandbox.carts[5].touch(sandbox.now())
    text = sync("filesystem", "--streams", CARTS)
    (read,) = re.findall(rf"^{CARTS} +(\d+) +\d+ +not counted +\d+$", text, re.MULTILINE)
    assert int(read) < 20
    files = f"{tmp_path}/lake/carts/abandoned_carts/*.parquet"
    with duckdb.connect() as connection:
        found = connection.execute(f"SELECT token, count(*) FROM '{files}' GROUP BY 1").fetchall()
    assert {token for token, _ in found} == {cart.token for cart in sandbox.carts}
    assert dict(found)[sandbox.carts[5].token] == 2


def test_prints_the_same_in_another_locale(sync, sandbox, tmp_path):
    for cart in sandbox.carts:
        cart.document["items"][0].update(id="other", name="Füße 山")
    sync.environment |= {"LC_ALL": "de_DE.ISO-8859-1", "PYTHONIOENCODING": "latin-1"}
    picture = tmp_path / "carts.png"
    text = sync(DuckDB(tmp_path).url, "--picture", str(picture))
    assert counts(text)[CARTS] == (120, 120, 0, 120)
    assert "Füße 山" in text


def test_keeps_what_a_user_added_to_a_table(sync, database, sandbox):
    """As the table in docs/sync.md says."""
    sync(database.url, "--streams", CARTS)
    for statement in (
        "ALTER TABLE abandoned_carts ALTER COLUMN total TYPE NUMERIC(18, 4)",
        "ALTER TABLE abandoned_carts ADD COLUMN note TEXT",
        "UPDATE abandoned_carts SET note = 'mine'",
        "ALTER TABLE abandoned_carts ADD PRIMARY KEY (token)",
        "CREATE INDEX by_email ON abandoned_carts (email)",
        "CREATE VIEW totals AS SELECT token, total FROM abandoned_carts",
    ):
        database.rows(statement)
    cart = sandbox.carts[0]
    cart.document["total"] = 77.7
    cart.touch(sandbox.now())
    assert counts(sync(database.url, "--streams", CARTS))[CARTS].changed == 1
    notes = {row["token"]: row["note"] for row in database.rows("SELECT * FROM abandoned_carts")}
    assert notes[cart.token] is None
    assert "mine" in notes.values()
    (total,) = database.rows(f"SELECT total FROM totals WHERE token = '{cart.token}'")
    assert str(total["total"]) == "77.7000"
    with pytest.raises((duckdb.CatalogException, psycopg2.errors.DuplicateTable)):
        database.rows("CREATE INDEX by_email ON abandoned_carts (email)")
