"""Whole syncs by PyAirbyte into real databases, as `make sync` runs them."""

import copy
import functools
import itertools
import json
import os
import random
import re
import resource
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import datetime, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import psycopg
import pytest

from sandbox import Fault, Sandbox

from .conftest import HERE
from .databases import PASSWORD, Database, DuckDB, PostgreSQL, postgresql_server
from .test_abandoned_carts import assert_same

ROOT = HERE.parent
PYTHON = ROOT / ".venv-sync/bin/python"
OTHERS = "_airbyte_additional_properties"
SCHEMA = json.loads((ROOT / "source_abandoned_carts/schemas/abandoned_carts.json").read_text())


class Sync:
    """`python -m sync` against a sandbox, with its settings in a file."""

    def __init__(self, folder: Path, sandbox: Sandbox) -> None:
        self._config = folder / "config.json"
        self.config = sandbox.config
        self.temporary = folder / "tmp"
        self.temporary.mkdir()
        self.environment = {
            **os.environ, **sandbox.environment,
            "PYTHONPATH": str(HERE / "shortened_sleep"), "WAITS": str(folder / "waits"),
            "TMPDIR": str(self.temporary),
        }  # fmt: skip

    def start(self, to: str, *options: str, **process: Any) -> subprocess.Popen[str]:
        self._config.write_text(json.dumps(self.config))
        return subprocess.Popen(
            [PYTHON, "-m", "sync", "--config", self._config, "--to", to, *options],
            cwd=ROOT, env=self.environment, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, **process,
        )  # fmt: skip

    def __call__(self, to: str, *options: str, code: int = 0, **options_of_process: Any) -> str:
        """Sync once and give what is printed."""
        process = self.start(to, *options, **options_of_process)
        text, _ = process.communicate(timeout=300)
        assert process.returncode == code, text
        assert "Traceback" not in text
        return text


@pytest.fixture
def sync(tmp_path: Path, sandbox: Sandbox) -> Sync:
    return Sync(tmp_path, sandbox)


@pytest.fixture(scope="session")
def server() -> Iterator[str]:
    with postgresql_server() as url:
        yield url


@pytest.fixture(params=["duckdb", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Database:
    if request.param == "duckdb":
        return DuckDB(tmp_path)
    return PostgreSQL(request.getfixturevalue("server"))


def counts(text: str) -> dict[str, tuple[int, int]]:
    """What the summary says: records read and rows now, by stream."""
    words = [line.replace(",", "").split() for line in text.splitlines()]
    return {w[0]: (int(w[1]), int(w[2])) for w in words if w and w[0] in STREAMS}


STREAMS = ("abandoned_carts", "cart_stats")


def assert_equal(database: Database, sandbox: Sandbox) -> None:
    """The tables hold what the API gives: every cart with all its fields, and every window."""
    records = [as_record(row) for row in database.rows("abandoned_carts")]
    served = {cart.token: copy.deepcopy(cart.document) for cart in sandbox.carts}
    assert sorted(record["token"] for record in records) == sorted(served)
    for record in records:
        given = served[record["token"]]
        if database.name == "postgresql":
            given = json.loads(json.dumps(given).replace("\\u0000", "\\ufffd"))
        assert_same(record, given, top=True)
    for row in database.rows("cart_stats"):
        first, last = row["date_from"].timestamp(), row["date_to"].timestamp()
        assert [row["abandoned"], row["recovered"]] == [
            sum(first <= moment <= last for moment in moments)
            for moments in (sandbox.abandoned, sandbox.recovered)
        ]


def start_and_stall(sync: Sync, sandbox: Sandbox, page: int, *options: str) -> Any:
    """Start a sync, and give it when it waits for a page of carts that will not come."""
    sandbox.faults = [Fault("slow", seconds=60, when=lambda _: len(sandbox.to("snipcart")) == page)]
    process = sync.start(*options)
    while sandbox.faults[0].times:
        assert process.poll() is None
        time.sleep(0.1)
    time.sleep(1)
    return process


def as_record(row: dict[str, Any]) -> dict[str, Any]:
    """The record that a row of abandoned_carts was made from."""
    record = {name: row[name.lower()] for name in SCHEMA["properties"]} | (row[OTHERS] or {})
    return {name: as_json(value) for name, value in record.items() if value is not None}


def as_json(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.astimezone(timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    return float(value) if isinstance(value, Decimal) else value


def copies(sandbox: Sandbox, times: int) -> None:
    """Give the sandbox as many times the carts, each with a token of its own."""
    sandbox.carts = [copy.deepcopy(cart) for cart in sandbox.carts for _ in range(times)]
    for number, cart in enumerate(sandbox.carts):
        cart.document["token"] = f"cart-{number}"


@pytest.fixture
def deep_recursion() -> Iterator[None]:
    usual = sys.getrecursionlimit()
    sys.setrecursionlimit(20_000)
    yield
    sys.setrecursionlimit(usual)


@pytest.mark.usefixtures("deep_recursion")
def test_every_cart_with_all_fields_and_every_window_is_in_the_tables(sync, database, sandbox):
    sandbox.carts[0].document |= {
        "invoiceNumber": "00123",
        "newField": {"deep": [1, {"x": None}], "text": "00042"},
        "Email": "capital",
        "EMAIL": None,
        "___": 1,
        "id": "9007199254740993",
        "total": 9007199254740993,
        "baseTotal": 0.1 + 0.2,
        "itemsTotal": 1e-12,
        "lang": 7,
        "user": [],
        "paymentMethod": "0",
        "shippingCharged": True,
    }
    sandbox.carts[1].document |= {"metadata": {"id": 2**53 + 1, "halves": "\udc00 \ud83d"}}
    deep: dict[str, Any] = {}
    sandbox.carts[2].document |= {"metadata": {"deep": deep}}
    for _ in range(900):
        deep["deep"] = deep = {}
    sandbox.carts[3].document |= {"metadata": {"long": "é" * 9_000_000}}
    text = sync(database.url)
    assert counts(text) == {
        "abandoned_carts": (120, 120),
        "cart_stats": (len(database.rows("cart_stats")),) * 2,
    }
    assert_equal(database, sandbox)
    for column in ("metadata", "items", OTHERS):  # NULL and not JSON's null
        null = f"SELECT count(*) FROM abandoned_carts WHERE CAST({column} AS TEXT) = 'null'"
        assert database.ask(null) == [(0,)]
    (first,) = database.ask(
        "SELECT invoicenumber, id, baseTotal, paymentMethod, modificationdate "
        f"FROM abandoned_carts WHERE token = '{sandbox.carts[0].token}'"
    )
    assert first[:2] == ("00123", "9007199254740993")
    assert float(first[2]) == 0.1 + 0.2
    assert first[3] in ("0", '"0"')
    assert first[4] == sandbox.carts[0].modified
    assert PASSWORD not in text
    assert "%C3%B6" not in text


def test_a_second_sync_with_nothing_new_changes_nothing(sync, database, sandbox):
    sync(database.url)
    before = {stream: database.rows(stream) for stream in STREAMS}
    text = sync(database.url)
    read, rows = counts(text)["abandoned_carts"]
    assert (read < 20, rows) == (True, 120)
    assert_equal(database, sandbox)
    assert len(database.rows("cart_stats")) == len(before["cart_stats"])


def test_what_narrow_scans_miss_the_next_full_one_merges(sync, database, sandbox):
    sandbox.time_range_by = "created"
    sync.config["snipcart_full_scan_hours"] = 24
    sync(database.url, "--streams", "abandoned_carts")
    for cart in sandbox.carts[:9]:
        cart.document["total"] = 77.7
        cart.touch(sandbox.now(), "iso7")
    sandbox.requests.clear()
    text = sync(database.url, "--streams", "abandoned_carts")
    assert counts(text)["abandoned_carts"] == (0, 120)
    assert len(sandbox.to("snipcart")) == 1
    sandbox.clock_offset = 24 * 3600
    sync(database.url, "--streams", "abandoned_carts")
    rows = {row["token"]: round(float(row["total"]), 2) for row in database.rows("abandoned_carts")}
    assert rows == {cart.token: cart.document["total"] for cart in sandbox.carts}


def test_changes_are_merged(sync, database, sandbox):
    sync(database.url)
    for cart in sandbox.carts[:9]:
        cart.document |= {"total": 77.7, "newField": [1], "email": None}
        cart.touch(sandbox.now(), "iso7")
    sandbox.carts.append(copy.deepcopy(sandbox.carts[3]))
    sandbox.carts[-1].document["token"] = "new"
    sandbox.abandoned += [int(sandbox.now().timestamp()) - 3600] * 3
    text = sync(database.url)
    assert counts(text)["abandoned_carts"][1] == 121
    assert_equal(database, sandbox)


def test_a_column_that_the_table_lacks_is_added(sync, database, sandbox):
    sync(database.url)
    database.ask("ALTER TABLE abandoned_carts DROP COLUMN completiondate")
    sandbox.carts[0].touch(sandbox.now())
    sandbox.carts[0].document["completionDate"] = "2026-01-01T01:02:03.1234567-05:00"
    sync(database.url)
    ((date,),) = database.ask(
        "SELECT completiondate FROM abandoned_carts WHERE completiondate IS NOT NULL"
    )
    assert date == datetime(2026, 1, 1, 6, 2, 3, 123456, tzinfo=timezone.utc)


def test_the_last_of_several_versions_stays(sync, database, sandbox):
    """Of many sizes: a database may put a small row where an earlier one left room."""
    chance = random.Random(1)
    carts = [copy.deepcopy(sandbox.carts[number % 100]) for number in range(4_500)]
    for number, cart in enumerate(carts):
        padding = chance.randbytes(chance.randrange(50, 1_500)).hex()
        cart.document |= {
            "token": f"cart-{chance.randrange(1_000)}",
            "total": number,
            "lang": padding,
        }
    sandbox.carts = carts
    sync.config["snipcart_page_size"] = 500
    sync(database.url, "--streams", "abandoned_carts")
    last = {cart.token: cart.document["total"] for cart in carts}
    found = {
        token: int(total)
        for token, total in database.ask("SELECT token, total FROM abandoned_carts")
    }
    assert found == last


def test_carts_without_a_token_all_stay(sync, database, sandbox):
    for cart in sandbox.carts[:3]:
        del cart.document["token"]
    sync(database.url)
    assert database.ask("SELECT count(*) FROM abandoned_carts WHERE token IS NULL") == [(3,)]


def test_one_failing_stream_leaves_the_other_whole(sync, database, sandbox):
    sandbox.faults = [Fault("status", "snipcart", 99, status=401)]
    text = sync(database.url, code=1)
    assert "Snipcart refused the request (HTTP 401 Unauthorized)." in text
    assert "During the sync" not in text
    assert counts(text)["abandoned_carts"] == (0, 0)
    sandbox.faults = []
    whole = len(database.rows("cart_stats"))
    text = sync(database.url)
    assert counts(text)["cart_stats"] == (2, whole)
    assert_equal(database, sandbox)


def test_what_was_read_before_a_failure_stays_and_the_next_sync_goes_on(sync, database, sandbox):
    copies(sandbox, 10)
    page = itertools.count()
    sandbox.faults = [Fault("status", "snipcart", 6, status=503, when=lambda _: next(page) >= 15)]
    text = sync(database.url, code=1)
    assert "Snipcart" in text
    assert counts(text)["abandoned_carts"][1] == len(database.rows("abandoned_carts")) == 750
    sandbox.requests.clear()
    sync(database.url)
    assert len(sandbox.to("snipcart")) == 24 - 10  # pages of 50; the place is saved every 500 carts
    assert_equal(database, sandbox)


def test_a_killed_sync_is_taken_up_again(sync, database, sandbox):
    copies(sandbox, 60)
    sync.config["snipcart_page_size"] = 200
    process = start_and_stall(sync, sandbox, 35, database.url, "--streams", "abandoned_carts")
    process.kill()
    process.wait()
    process.stdout.close()  # the connector has it too, until it notices
    assert len(database.rows("abandoned_carts")) == 5000
    sandbox.requests.clear()
    sync(database.url)
    assert len(sandbox.to("snipcart")) == 36 - 25 + 1
    assert_equal(database, sandbox)
    assert database.ask(
        "SELECT table_name FROM information_schema.tables WHERE table_name LIKE '%loading%'"
    ) == []  # fmt: skip


def test_a_column_of_another_type_is_told_and_not_written(sync, database, sandbox):
    sync(database.url)
    database.ask("ALTER TABLE abandoned_carts DROP COLUMN invoicenumber")
    database.ask("ALTER TABLE abandoned_carts ADD COLUMN invoicenumber INTEGER")
    sandbox.carts[0].document["invoiceNumber"] = "00123"
    text = sync(database.url, code=1)
    assert "The table abandoned_carts has columns of another type" in text
    assert "(invoicenumber)" in text
    assert database.ask("SELECT count(invoicenumber) FROM abandoned_carts") == [(0,)]


def test_staged_records_that_got_lost_are_told_and_read_again(sync, server, sandbox):
    """As by a full disk, of which the process learns when it closes the file."""
    database = PostgreSQL(server)
    sync.config["retargeting_window_days"] = 3
    limit = functools.partial(resource.setrlimit, resource.RLIMIT_FSIZE, (4_096, 4_096))
    text = sync(database.url, "--streams", "cart_stats", code=1, preexec_fn=limit)
    assert "Is the disk full where temporary files are (TMPDIR)?" in text
    sync(database.url)
    assert len(database.rows("cart_stats")) > 300
    assert_equal(database, sandbox)


@pytest.mark.parametrize(
    ("statement", "words"),
    [
        ("CREATE DATABASE {name} ENCODING 'LATIN1' TEMPLATE template0", "encoded in LATIN1"),
        (
            "ALTER DATABASE {name} SET search_path = 'nowhere'",
            "No schema of this user's search path",
        ),
        ("ALTER DATABASE {name} SET default_transaction_read_only = on", "read-only transaction"),
    ],
)
def test_a_postgresql_that_cannot_take_carts_is_told_in_a_sentence(sync, server, statement, words):
    database = PostgreSQL(server)
    name = database.url.rpartition("/")[2]
    with psycopg.connect(f"{server}/postgres", autocommit=True) as connection:
        if statement.startswith("CREATE"):
            connection.execute(f"DROP DATABASE {name}")
        connection.execute(statement.format(name=name))
    text = sync(database.url, code=1)
    assert words in text


def test_the_schema_of_the_search_path_may_have_any_name(sync, server, sandbox):
    database = PostgreSQL(server)
    database.ask('CREATE SCHEMA "Shop-1"')
    name = database.url.rpartition("/")[2]
    database.ask(f"ALTER DATABASE {name} SET search_path = 'Shop-1'")
    sync(database.url)
    sync(database.url)
    assert_equal(database, sandbox)
    assert database.ask(
        "SELECT DISTINCT schemaname FROM pg_tables WHERE tablename = 'cart_stats'"
    ) == [("Shop-1",)]


def test_a_table_that_was_dropped_is_filled_again(sync, database, sandbox):
    sync(database.url)
    database.ask("DROP TABLE abandoned_carts")
    text = sync(database.url)
    assert counts(text) == {"abandoned_carts": (120, 120), "cart_stats": (2, 36)}


def test_other_settings_read_all_again(sync, database, sandbox):
    sync.config["start_date"] = "2025-06-01"
    sync(database.url, "--streams", "abandoned_carts")
    sync.config["start_date"] = "2024-01-01"
    text = sync(database.url, "--streams", "abandoned_carts")
    assert counts(text) == {"abandoned_carts": (120, 120)}
    assert "This database was written with other settings." in text
    assert "other settings" not in sync(database.url)


def test_a_killed_connector_is_told_and_loses_nothing(sync, database, sandbox):
    copies(sandbox, 10)
    process = start_and_stall(sync, sandbox, 15, database.url)
    for child in subprocess.check_output(["pgrep", "-P", str(process.pid)], text=True).split():
        os.kill(int(child), signal.SIGTERM)
    text, _ = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "The connector ended before it had finished" in text
    sync(database.url)
    assert_equal(database, sandbox)


def test_a_stopped_sync_keeps_what_it_has_read_and_leaves_nothing_behind(sync, database, sandbox):
    copies(sandbox, 10)
    process = start_and_stall(sync, sandbox, 15, database.url)
    files = [path for path in sync.temporary.rglob("*") if path.is_file()]
    assert files, "the catalog, the state, and what is staged are there"
    assert not any(sandbox.snipcart_key.encode() in path.read_bytes() for path in files)
    process.terminate()
    text, _ = process.communicate(timeout=30)
    assert process.returncode == 1
    assert "Stopped." in text
    assert "Traceback" not in text
    assert not any(path.is_file() for path in sync.temporary.rglob("*"))
    assert 0 < len(database.rows("abandoned_carts")) <= 14 * 50
    sync(database.url)
    assert_equal(database, sandbox)


def test_nobody_else_is_asked_and_no_log_is_written(sync, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as elsewhere:
        elsewhere.settimeout(0.1)
        proxy = f"http://127.0.0.1:{elsewhere.getsockname()[1]}"
        sync.environment |= {"HTTPS_PROXY": proxy, "HTTP_PROXY": proxy, "NO_PROXY": "127.0.0.1"}
        sync.environment["HOME"] = str(tmp_path / "home")
        sync(f"duckdb:///{tmp_path}/carts.duckdb")
        with pytest.raises(TimeoutError):
            elsewhere.accept()
    assert not (tmp_path / "home").exists()
    assert list(sync.temporary.iterdir()) == []


@pytest.mark.parametrize(
    ("to", "words"),
    [
        ("postgresql://owner:wrong-word@127.0.0.1:{port}/postgres", "password authentication"),
        ("postgresql://owner:wrong-word@127.0.0.1:1/postgres", "onnection refused"),
        ("{server}/nowhere", 'database "nowhere" does not exist'),
        ("mysql://owner:wrong-word@localhost/db", "must be duckdb:///PATH or postgresql://"),
        ("duckdb://", "must be duckdb:///PATH or postgresql://"),
        ("wrong-word", "must be duckdb:///PATH or postgresql://"),
        ("postgresql://owner:wrong-word@localhost:x/db", "must be duckdb:///PATH or postgresql://"),
        ("postgresql://owner:wrong-word@wrong-word@127.0.0.1/db", "In a password, write @ as %40"),
        ("duckdb://data/carts.duckdb", "must be duckdb:///PATH or postgresql://"),
        ("postgresql://owner@127.0.0.1:{port}/postgres", "Set PGPASSWORD"),
        ("duckdb:////proc/carts.duckdb", "Cannot open file"),
        ("duckdb:////etc/hosts/carts.duckdb", "/etc/hosts cannot be used: "),
    ],
)
def test_a_database_that_cannot_be_used_is_told_in_a_sentence(sync, server, to, words):
    port = server.rpartition(":")[2]
    process = sync.start(to.format(port=port, server=server))
    text, _ = process.communicate(timeout=60)
    assert process.returncode in (1, 2)
    assert words in text
    assert "Traceback" not in text
    assert "wrong-word" not in text
    assert PASSWORD not in text


def test_a_database_that_is_in_use_is_told_in_a_sentence(sync, database, sandbox):
    if isinstance(database, DuckDB):
        with duckdb.connect(str(database.path)):
            text = sync(database.url, code=1)
        assert "Conflicting lock is held" in text
    else:
        with psycopg.connect(database.url) as connection:
            connection.execute("SELECT pg_advisory_lock(hashtext('source-abandoned-carts'))")
            text = sync(database.url, code=1)
        assert "Another sync is writing into this database." in text
    assert sandbox.to("snipcart") == []


@pytest.mark.parametrize(
    ("config", "options", "words"),
    [
        ({"retargeting_window_days": 31}, (), "retargeting_window_days"),
        ({}, ("--streams", "carts"), "There is no stream carts with these settings. There is: "),
        ({}, ("--config", "nowhere.json"), "There is no settings file nowhere.json."),
        ({}, ("--picture", "carts.pdf"), "must be a file that ends in .png"),
    ],
)
def test_settings_that_cannot_work_are_told_in_the_connectors_words(
    sync, tmp_path, sandbox, config, options, words
):
    sync.config |= config
    text = sync(f"duckdb:///{tmp_path}/carts.duckdb", *options, code=1)
    assert words in text
    assert len(text.splitlines()) <= 4
    assert sandbox.requests == []


def test_the_queries_in_docs_and_readme_run(sync, database, sandbox):
    """Those of the docs are for PostgreSQL, with Airbyte's names; the README's are for DuckDB."""
    sync(database.url)
    page = "README.md" if database.name == "duckdb" else "docs/abandoned-carts.md"
    text = (ROOT / page).read_text()
    queries = re.findall(r"```sql\n(.*?)```", text, re.DOTALL)
    queries += re.findall(r"\.sql\('''\n(.*?)'''\)", text, re.DOTALL)
    assert len(queries) == 3 - (database.name == "duckdb")
    for query in queries:
        found = database.ask(query.replace('"modificationDate"', "modificationdate"))
        assert found or "interval '3 days'" in query


def test_a_picture_of_any_shop_can_be_drawn(sync, database, tmp_path, sandbox):
    """Of no carts, no windows, and of names that a terminal or a font would stumble over."""
    picture = tmp_path / "picture.png"
    full, sandbox.carts = sandbox.carts, []
    sync(database.url, "--streams", "abandoned_carts", "--picture", str(picture))
    assert picture.read_bytes().startswith(b"\x89PNG")
    sandbox.carts = full
    for cart, name in zip(full, ["$x^$ [red]", "\x1b[31mred", "山" * 50, "", None], strict=False):
        cart.document["items"][0]["name"] = name
        cart.document |= {"currency": "$x^$\x1b[0m", "total": None}
    sandbox.carts[9].document["items"] = None
    sandbox.carts[10].document["items"] = "none"
    picture.unlink()
    text = sync(database.url, "--picture", str(picture))
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert "$x^$ [red]" in text
    assert "\x1b" not in text


def test_the_demo_goes_on_from_the_last_one(tmp_path):
    def demo() -> list[tuple[str, ...]]:
        done = subprocess.run(
            [PYTHON, "-m", "sync.demo"], cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE, text=True, check=True, timeout=120,
        )  # fmt: skip
        return re.findall(r"^abandoned_carts +(\d+) +(\d+)$", done.stdout, re.MULTILINE)

    assert demo() == [("300", "300"), ("37", "305")]
    first = (tmp_path / "demo/abandoned_carts.png").read_bytes()
    (read, rows), second = demo()
    assert (int(read) < 40, rows, second[1]) == (True, "305", "310")
    with duckdb.connect(str(tmp_path / "demo/abandoned_carts.duckdb")) as connection:
        assert connection.execute("SELECT count(*) FROM abandoned_carts").fetchone() == (310,)
    assert (tmp_path / "demo/abandoned_carts.png").read_bytes() != first
