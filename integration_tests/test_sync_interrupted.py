"""Syncs that are killed, stopped, or refused by a full disk, and the syncs after them."""

import resource
import signal
import subprocess
import time

import psutil
import psycopg2
import pytest

from .databases import DuckDB, PostgreSQL
from .harness import CARTS, wait_for_import
from .syncs import assert_equal, counts

STOPPED = "Stopped. The next sync resumes from the last saved state.\n"


@pytest.mark.slow
def test_first_load_goes_on_after_a_kill_at_each_step(sync, database):
    for step in ("tables", "staging", "merge", "load"):
        sync.kill_at(step, database.url, "--streams", CARTS)
    text = sync(database.url, "--streams", CARTS)
    assert counts(text)[CARTS].rows == 120
    assert_equal(database, sync, CARTS)


def test_first_load_goes_on_after_a_kill_and_a_dropped_table(sync, database):
    sync.kill_at("load", database.url, "--streams", CARTS)
    database.rows("DROP TABLE abandoned_carts")
    text = sync(database.url, "--streams", CARTS)
    assert counts(text)[CARTS] == (120, 120, 0, 120)


@pytest.mark.slow
def test_resumes_after_kill_and_locks_out_other_syncs(sync, database, sandbox):
    for cart in sandbox.carts:
        cart.document["metadata"] = {"long": "x" * 180_000}
    sync.config["snipcart_page_size"] = 2
    process = sync.start_and_stall(database.url, page=50)  # after 98 carts
    refused = f"process {process.pid}" if database.name == "duckdb" else "Another sync is writing"
    assert refused in sync(database.url, code=1)
    process.kill()
    process.wait()
    process.stdout.close()  # the connector keeps the pipe open until it notices
    written = database.rows("SELECT COUNT(*) AS rows FROM abandoned_carts")[0]["rows"]
    assert 0 < written <= 98
    for leftover in sync.temporary.iterdir():  # from the killed sync
        subprocess.run(["rm", "-r", leftover], check=True)
    sandbox.requests.clear()
    assert counts(sync(database.url))[CARTS].rows == 120
    assert len(sandbox.to("snipcart")) < 45  # the list has 60 pages
    assert_equal(database, sync)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_stops_while_it_reads(sync, sandbox, tmp_path, number):
    process = sync.start_and_stall(DuckDB(tmp_path).url, 2, "--streams", CARTS)
    files = [path for path in sync.temporary.rglob("*") if path.is_file()]
    assert files, "the catalog is missing"
    assert not any(sandbox.snipcart_key.encode() in path.read_bytes() for path in files)
    process.send_signal(number)
    text, _ = process.communicate(timeout=10)
    assert process.returncode == 1
    assert text.splitlines(keepends=True)[1:] == [STOPPED]


@pytest.mark.parametrize("module", ["argparse", "rich.console", "dlt"])
def test_stops_while_it_starts(sync, tmp_path, module):
    """It handles signals before it imports argparse."""
    sync.environment["PYTHONPROFILEIMPORTTIME"] = "1"
    process = sync.start(DuckDB(tmp_path).url)
    wait_for_import(process, module)
    process.send_signal(signal.SIGINT)
    text, _ = process.communicate(timeout=10)
    assert process.returncode == 1
    assert text.count(STOPPED) == 1  # the other lines are those of the environment variable
    assert "Traceback" not in text


def test_stops_while_the_database_does_not_respond(sync, server):
    database = PostgreSQL(server)
    sync(database.url, "--streams", CARTS)
    with psycopg2.connect(database.url) as connection, connection.cursor() as cursor:
        cursor.execute("LOCK TABLE abandoned_carts")
        process = sync.start(database.url, "--streams", CARTS)
        waiting = "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
        while not database.rows(waiting):
            assert process.poll() is None
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        text, _ = process.communicate(timeout=10)
    connection.close()
    assert text.splitlines(keepends=True)[1:] == [STOPPED]


def test_reports_that_the_connector_was_killed(sync, tmp_path):
    process = sync.start_and_stall(DuckDB(tmp_path).url, page=2)
    (connector,) = psutil.Process(process.pid).children()
    connector.kill()
    text, _ = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "The connector ended before it had finished (exit code -9)." in text
    read, new, _, rows = counts(text)[CARTS]
    assert 0 < read == new == rows <= 50  # the pipe does not hold the whole page


@pytest.mark.slow
@pytest.mark.parametrize("size", [0, 10_000, 300_000])
def test_goes_on_after_a_full_disk(sync, tmp_path, size):
    database = DuckDB(tmp_path)
    limit = (size, resource.RLIM_INFINITY)
    text = sync(
        database.url,
        "--streams",
        CARTS,
        code=1,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, limit),
    )
    assert "There is no space left on the disk for " in text
    text = sync(database.url, "--streams", CARTS)
    assert counts(text)[CARTS].rows == 120
