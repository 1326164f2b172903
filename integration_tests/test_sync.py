"""Complete syncs into real databases, as `make sync` runs them."""

import contextlib
import copy
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import duckdb
import pytest

from sync.__main__ import check_options
from sync.columns import OTHERS, column_name
from sync.connector import SyncError
from sync.report import report
from tools.sandbox import Fault, Sandbox

from .conftest import CARTS, ROOT, STATS, Connector, instant
from .databases import PASSWORD, Database, DuckDB, PostgreSQL, postgresql_server


class Sync:
    """`python -m sync` against a sandbox, with its settings in a file."""

    def __init__(self, folder: Path, sandbox: Sandbox, connector: Connector, proxy: str) -> None:
        self._config = folder / "sync.json"
        self.sandbox, self.connector = sandbox, connector
        self.config = dict(sandbox.config)
        self.temporary, self.home = folder / "tmp", folder / "home"
        self.temporary.mkdir()
        self.environment = {
            **os.environ, **sandbox.environment, "TMPDIR": str(self.temporary),
            "HOME": str(self.home), "NO_PROXY": "127.0.0.1", "HTTPS_PROXY": proxy,
            "HTTP_PROXY": proxy,
        }  # fmt: skip

    def start(self, to: str, *options: str) -> subprocess.Popen[str]:
        self._config.write_text(json.dumps(self.config))
        return subprocess.Popen(
            [sys.executable, "-m", "sync", "--config", self._config, "--to", to, *options],
            cwd=ROOT, env=self.environment, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
        )  # fmt: skip

    def __call__(self, to: str, *options: str, code: int = 0) -> str:
        """Run a sync until it ends. Return its output."""
        process = self.start(to, *options)
        text, _ = process.communicate(timeout=120)
        assert process.returncode == code, text
        assert "Traceback" not in text
        assert PASSWORD not in text
        assert "%C3%B6" not in text
        return text

    def start_and_stall(self, to: str, page: int) -> subprocess.Popen[str]:
        """Start a sync. Return when it waits for this page of carts, which does not come."""
        self.sandbox.requests.clear()
        fault = Fault("slow", seconds=30, when=lambda _: len(self.sandbox.to("snipcart")) == page)
        self.sandbox.faults = [fault]
        process = self.start(to)
        while fault.times:
            assert process.poll() is None
            time.sleep(0.05)
        self.sandbox.faults = []
        return process


@pytest.fixture
def sync(tmp_path: Path, sandbox: Sandbox, connector: Connector) -> Iterator[Sync]:
    """A sync that must not send requests to other addresses or leave files."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        other.settimeout(0.1)
        proxy = f"http://127.0.0.1:{other.getsockname()[1]}"
        yield (sync := Sync(tmp_path, sandbox, connector, proxy))
        with pytest.raises(TimeoutError):
            other.accept()
    assert not sync.home.exists()
    assert list(sync.temporary.rglob("*")) == []


@pytest.fixture(scope="session")
def server(request: pytest.FixtureRequest) -> Iterator[str]:
    """The PostgreSQL server that conftest.py starts for xdist's workers, or another."""
    shared = getattr(request.config, "workerinput", {}).get("postgresql")
    with contextlib.nullcontext(shared) if shared else postgresql_server() as url:
        yield url


@pytest.fixture(params=["duckdb", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Database:
    if request.param == "duckdb":
        return DuckDB(tmp_path)
    return PostgreSQL(request.getfixturevalue("server"))


def counts(text: str) -> dict[str, tuple[int, int]]:
    """Return the records read and the rows now, by stream, from a printed summary."""
    found = re.findall(r"^(\w+) +([\d,]+) +([\d,]+) *$", text, re.MULTILINE)
    return {name: (int(a.replace(",", "")), int(b.replace(",", ""))) for name, a, b in found}


def assert_equal(database: Database, sync: Sync) -> None:
    """Check that the tables contain each record that the connector emits, with all its fields.

    Of records with the same key, the last one counts. The tables keep carts that left the list.
    """
    (message,) = sync.connector.run("discover", config=sync.config).of("CATALOG")
    schemas = {s["name"]: s["json_schema"]["properties"] for s in message["catalog"]["streams"]}
    output = sync.connector.read(sync.config, *schemas)
    schemas.pop("departed_carts", None)  # its records depend on the last sync
    departed = {cart.document.get("token") for cart in sync.sandbox.carts if not cart.on_list}
    for name, fields in schemas.items():
        found = {_key(row): row for row in _found(database, name, fields)}
        rows = {key: row for key, row in found.items() if key not in departed}
        records = {_key(record): record for record in map(_expected, output.records(name))}
        assert rows.keys() == records.keys()
        for key, record in records.items():
            if name == STATS and f"{record['date_to']:%T}" != "23:59:59":  # still running
                record["date_to"] = rows[key]["date_to"]
            assert rows[key] == record


def _key(record: dict[str, Any]) -> object:
    return record.get("token") or record.get("date_from") or record["creationDate"]


def _expected(record: dict[str, Any]) -> dict[str, Any]:
    """Parse date-times, remove nulls, and replace NUL, which PostgreSQL cannot store."""
    text = re.sub(r"(?<!\\)((?:\\\\)*)\\u0000", r"\1\\ufffd", json.dumps(record))
    is_date = re.compile(r"\d{4}-\d\d-\d\dT.*Z")
    found = {k: instant(v) if is_date.fullmatch(str(v)) else v for k, v in json.loads(text).items()}
    return {field: value for field, value in found.items() if value is not None}


def _found(database: Database, table: str, fields: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for row in database.rows(f"SELECT * FROM {table}"):
        found = {field: row[column_name(field)] for field in fields} | (row[OTHERS] or {})
        yield {field: value for field, value in found.items() if value is not None}


def test_keeps_every_value_and_merges_changes(sync, database, sandbox, tmp_path):
    sync.config["snipcart_departed_carts"] = True
    first = sandbox.carts[0].document
    first |= {
        "newField": {"deep": [1, {"x": None}], "text": "00042"}, "Email": "capital", "___": 1,
        "id": "9007199254740993", "total": 9007199254740993, "baseTotal": 0.1 + 0.2,
        "invoiceNumber": "00123", "lang": 7, "user": [],
        "metadata": {"id": 2**63 + 1, "nul": "\0 \\u0000 \\\0", "null": None},
        "completionDate": "2026-01-01T01:02:03.1234567-05:00",
        "email": "\ue000\uf8ff", "currency": "", "status": '{"a": 1}',
    }  # fmt: skip
    names = ["$x^$ [red]", "\x1b[31mred", "山" * 50, "", None]
    for cart, name in zip(sandbox.carts[1:], names, strict=False):
        cart.document["items"][0]["name"] = name
    sandbox.carts[7].document["items"] = "none"
    del sandbox.carts[8].document["token"], sandbox.carts[9].document["token"]
    sandbox.carts.append(copy.deepcopy(sandbox.carts[3]))  # twice, and the last one counts
    sandbox.carts[-1].document["total"] = 77.5
    text = sync(database.url)
    assert counts(text)[CARTS] == (121, 120)
    windows = counts(text)[STATS][1]
    assert_equal(database, sync)
    (row,) = database.rows(
        "SELECT invoice_number, completion_date, base_total, total, status, "
        f"{OTHERS} FROM abandoned_carts WHERE id = '9007199254740993'"
    )
    assert row.pop(OTHERS) == {
        "newField": first["newField"], "Email": "capital", "___": 1, "total": 9007199254740993,
        "lang": 7, "user": [],
    }  # fmt: skip
    assert row == {
        "invoice_number": "00123", "base_total": 0.1 + 0.2, "total": None, "status": '{"a": 1}',
        "completion_date": datetime(2026, 1, 1, 6, 2, 3, 123456, tzinfo=timezone.utc),
    }  # fmt: skip
    nulls = f"SELECT 1 FROM abandoned_carts WHERE CAST({OTHERS} AS TEXT) = 'null'"
    assert database.rows(nulls) == []

    database.rows("DELETE FROM abandoned_carts WHERE token IS NULL")
    database.rows("ALTER TABLE abandoned_carts DROP COLUMN completion_date")
    database.rows("DROP TABLE cart_stats")
    sandbox.carts.pop()
    sandbox.carts[8].document["token"], sandbox.carts[9].document["token"] = "eight", "nine"
    for cart in sandbox.carts[:12]:
        cart.document |= {"total": 77.7, "newerField": [1], "email": None}
        cart.touch(sandbox.now(), "iso7")
    bought, deleted = sandbox.carts[20:22]
    bought.complete(sandbox.now())
    deleted.delete()
    picture = tmp_path / "carts.png"
    text = sync(database.url, "--picture", str(picture))
    read, rows = counts(text)[CARTS]
    assert (read < 40, rows) == (True, 120)
    assert counts(text)[STATS] == (windows, windows)
    assert_equal(database, sync)
    rows = database.rows("SELECT token, status, cart FROM departed_carts ORDER BY status")
    assert [(row["token"], row["status"]) for row in rows] == [
        (bought.token, "Processed"), (deleted.token, None),
    ]  # fmt: skip
    assert rows[0]["cart"]["items"] == bought.document["items"]
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert "$x^$ [red]" in text
    assert "\x1b" not in text
    docs = (ROOT / "docs/abandoned-carts.md").read_text()
    queries = re.findall("```sql\n(.*?)```", re.sub(r'"(\w+)Date"', r"\1_date", docs), re.DOTALL)
    assert len(queries) == 5
    if database.name == "duckdb":  # which cannot run the last one
        readme = (ROOT / "README.md").read_text()
        queries[-1:] = re.findall(r"\.sql\('''\n(.*?)'''\)", readme, re.DOTALL)
    for query in queries:
        assert database.rows(query)


def test_rereads_all_carts_after_a_failure_or_new_settings(sync, tmp_path):
    database = DuckDB(tmp_path)
    sync.sandbox.faults = [Fault("status", "snipcart", 99, status=401)]
    text = sync(database.url, code=1)
    assert "Snipcart refused the request (HTTP 401 Unauthorized)." in text
    assert counts(text)[CARTS] == (0, 0)
    windows = counts(text)[STATS][1]
    sync.sandbox.faults = []
    text = sync(database.url)
    assert counts(text) == {CARTS: (120, 120), STATS: (2, windows)}
    sync.config["snipcart_minimal_value"] = 0
    text = sync(database.url, "--streams", CARTS)
    assert "The settings changed." in text
    assert counts(text) == {CARTS: (120, 120)}


def test_resumes_after_kill_and_locks_out_other_syncs(sync, database, sandbox):
    for cart in sandbox.carts:
        cart.document["metadata"] = {"long": "x" * 180_000}
    sync.config["snipcart_page_size"] = 2
    process = sync.start_and_stall(database.url, page=50)  # after 98 carts
    refused = "Conflicting lock" if database.name == "duckdb" else "Another sync is writing"
    assert refused in sync(database.url, code=1)
    process.kill()
    process.wait()
    process.stdout.close()  # the connector keeps the pipe open until it notices
    written = database.rows("SELECT COUNT(*) AS rows FROM abandoned_carts")[0]["rows"]
    assert 0 < written <= 98
    for leftover in sync.temporary.iterdir():  # from the killed sync
        subprocess.run(["rm", "-r", leftover], check=True)
    sandbox.requests.clear()
    assert counts(sync(database.url))[CARTS][1] == 120
    assert len(sandbox.to("snipcart")) < 45  # the list has 60 pages
    assert_equal(database, sync)


def test_stopped_sync_or_connector_is_reported_and_leaves_no_file(sync, sandbox, tmp_path):
    url = DuckDB(tmp_path).url
    process = sync.start_and_stall(url, page=2)
    files = [path for path in sync.temporary.rglob("*") if path.is_file()]
    assert files, "the catalog is missing"
    assert not any(sandbox.snipcart_key.encode() in path.read_bytes() for path in files)
    process.send_signal(signal.SIGTERM)
    text, _ = process.communicate(timeout=60)
    assert process.returncode == 1
    assert text.endswith("Stopped. The next sync resumes from the last saved state.\n")
    process = sync.start_and_stall(url, page=2)
    child = subprocess.check_output(["pgrep", "-P", str(process.pid)], text=True)
    os.kill(int(child), signal.SIGKILL)
    text, _ = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "The connector ended before it had finished (exit code -9)." in text
    assert counts(text)[CARTS] == (50, 50)


def test_files_get_the_new_records_of_each_sync(sync, sandbox, tmp_path):
    sync.environment["DESTINATION__FILESYSTEM__BUCKET_URL"] = str(tmp_path / "lake")
    sync("filesystem", "--streams", CARTS)
    sandbox.carts[5].touch(sandbox.now())
    text = sync("filesystem", "--streams", CARTS)
    assert counts(text)[CARTS][0] < 20
    files = f"{tmp_path}/lake/carts/abandoned_carts/*.parquet"
    with duckdb.connect() as connection:
        found = connection.execute(f"SELECT token, count(*) FROM '{files}' GROUP BY 1").fetchall()
    assert {token for token, _ in found} == {cart.token for cart in sandbox.carts}
    assert dict(found)[sandbox.carts[5].token] == 2


def test_refuses_a_database_of_an_earlier_version(sync, tmp_path):
    database = DuckDB(tmp_path)
    database.rows("CREATE TABLE abandoned_carts (token TEXT, _airbyte_raw_id TEXT)")
    text = sync(database.url, code=1)
    assert "An earlier version, or another program, has written" in text
    assert sync.sandbox.requests == []


@pytest.mark.parametrize(
    ("to", "options", "message"),
    [
        ("postgresql://owner:wrong-pass@127.0.0.1:{port}/postgres", (), "password authentication"),
        ("duckdb:////proc/carts.duckdb", (), "Cannot open file"),
        ("snowflake", (), "DESTINATION__SNOWFLAKE__CREDENTIALS__DATABASE"),
        ("sqlalchemy", (), '-m pip install "dlt[sqlalchemy]"'),
        ("nowhere", (), "TO=nowhere is not a dlt destination."),
        ("duckdb:///x", ("--streams", "x"), "no stream x. Choose from abandoned_carts, cart"),
        ("duckdb:///x", ("--config", "nowhere.json"), "nowhere.json cannot be used: No such file"),
        ("duckdb:///x", ("--picture", "carts.pdf"), "PICTURE must end in .png"),
    ],
)
def test_reports_invalid_options_in_one_sentence(sync, server, to, options, message):
    sync.environment["DESTINATION__SQLALCHEMY__CREDENTIALS"] = "sqlite:///carts.db"
    text = sync(to.format(port=server.rpartition(":")[2]), *options, code=1)
    assert message in text
    assert "wrong-pass" not in text
    assert len(text.splitlines()) <= 2
    assert sync.sandbox.requests == []


@pytest.mark.parametrize(
    "to",
    ["mysql://owner:secret@localhost/db", "duckdb://", "duckdb", "duckdb://data/c.duckdb", "",
     "postgresql://owner:a@secret@127.0.0.1/db"],
)  # fmt: skip
def test_rejects_an_unknown_database_url(to):
    with pytest.raises(SyncError) as raised:
        check_options(to)
    assert "secret" not in str(raised.value)


def test_draws_a_shop_without_carts_and_windows(tmp_path):
    report(lambda _: [], [CARTS, STATS], "duckdb", tmp_path / "empty.png")
    assert (tmp_path / "empty.png").read_bytes().startswith(b"\x89PNG")


def test_demo_syncs_twice_and_draws(tmp_path):
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "sync.demo"]
    text = subprocess.check_output(command, cwd=tmp_path, env=environment, text=True)
    assert counts(text)[CARTS][1] == 305  # the last summary counts
    assert (tmp_path / "demo/abandoned_carts.png").read_bytes().startswith(b"\x89PNG")
