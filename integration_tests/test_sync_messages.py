"""What the sync says when a database or an option cannot be used. Nothing is read then."""

import contextlib
import re
import signal
import sqlite3
import subprocess
import sys
import uuid
from urllib.parse import quote

import duckdb
import pytest

from sync.errors import SyncError
from sync.target import parse

from .databases import PASSWORD, DuckDB, PostgreSQL
from .harness import CARTS, STATS
from .syncs import assert_equal, counts


@pytest.fixture
def message(tmp_path, monkeypatch):
    """Return a function that opens a database, and returns the message of the error."""
    for variable in ("DLT_DATA_DIR", "DLT_PROJECT_DIR"):
        monkeypatch.setenv(variable, str(tmp_path))
    monkeypatch.setenv("RUNTIME__DLTHUB_TELEMETRY", "false")
    monkeypatch.setenv("RUNTIME__LOG_LEVEL", "CRITICAL")

    def message(to, statement="SELECT 1"):
        from sync.databases import open_database  # noqa: PLC0415 after the variables are set

        with pytest.raises(SyncError) as raised, open_database(parse(to), tmp_path) as database:
            database.query(statement)
        assert "s3cret" not in str(raised.value)
        assert PASSWORD not in str(raised.value)
        return str(raised.value)

    return message


@pytest.fixture
def role(server):
    """The name of a role that may do nothing, and a database."""
    database, role = PostgreSQL(server), f"role_{uuid.uuid4().hex[:8]}"
    database.rows(f"CREATE ROLE {role} LOGIN PASSWORD 's3cret'")
    yield role, database
    database.rows(f"DROP OWNED BY {role}")
    database.rows(f"DROP ROLE {role}")


def url_of(role, database):
    return f"postgresql://{role}:s3cret@{database.url.rpartition('@')[2]}"


@pytest.mark.parametrize(
    ("to", "sentence"),
    [
        (
            "postgresql://owner:s3cret@{place}/postgres",
            "PostgreSQL refused the user or the password",
        ),
        ("postgresql://owner:{password}@{place}/nowhere", "The database in TO does not exist"),
        ("postgresql://owner@{place}/postgres?user=s3cret", "asks for a password"),
        ("postgresql://owner:s3cret@127.0.0.1:1/postgres", "No PostgreSQL server answers"),
        ("postgresql://owner:s3cret@s3cret.invalid/postgres", "name in TO cannot be found"),
        (
            "postgresql://owner:s3cret@{place}/postgres?s3cret=1",
            "TO is not valid. Write TO=postgresql://",
        ),
        ("postgresql://owner:s3cret@{place}/postgres?sslmode=require", "The encrypted connection"),
    ],
)
def test_describes_a_refused_connection(message, server, to, sentence):
    place = server.rpartition("@")[2]
    assert sentence in message(to.format(place=place, password=quote(PASSWORD, safe="")))


@pytest.mark.parametrize(
    ("code", "sentence"),
    [
        ("53100", "There is no space left on the disk of the database server."),
        ("25006", "The database is read-only."),
        ("22P05", "its encoding is not UTF-8. Create a database with CREATE DATABASE carts"),
        ("57014", "PostgreSQL canceled a statement (QueryCanceled)."),
        ("57P01", "The connection to PostgreSQL broke (AdminShutdown)."),
        ("42804", "PostgreSQL refused a statement (DatatypeMismatch)."),
        ("23514", "The constraint"),
    ],
)
def test_describes_an_error_by_its_code(message, server, code, sentence):
    raising = f"DO $$ BEGIN RAISE EXCEPTION 's3cret' USING ERRCODE = '{code}'; END $$"
    assert sentence in message(PostgreSQL(server).url, raising)


def test_prints_the_grants_that_a_sync_needs(sync, message, role):
    name, database = role
    owner = database.rows("SELECT current_database() AS name")[0]["name"]
    database.rows(f"REVOKE ALL ON DATABASE {owner} FROM PUBLIC")
    for _ in ("to connect", "to create schemas and tables"):
        text = message(url_of(name, database))
        for grant in re.findall("GRANT [^;]*;", text):
            database.rows(grant)
    assert counts(sync(url_of(name, database), "--streams", STATS))[STATS].new > 0


def test_prints_the_grant_for_tables_of_another_user(sync, role):
    name, database = role
    sync(database.url, "--streams", STATS)
    for schema in ("public", "public_staging"):
        database.rows(f"GRANT USAGE, CREATE ON SCHEMA {schema} TO {name}")
    text = sync(url_of(name, database), "--streams", STATS, code=1)
    grant = text[text.index("GRANT") :]
    database.rows(grant)
    assert counts(sync(url_of(name, database), "--streams", STATS))[STATS].new == 0


def test_refuses_a_read_only_database(message, server):
    database = PostgreSQL(server)
    name = database.url.rpartition("/")[2]
    database.rows(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    assert "The database is read-only." in message(database.url)


def test_says_that_a_database_is_not_utf_8(sync, server):
    database = PostgreSQL(server)
    name = f"latin_{uuid.uuid4().hex[:8]}"
    encoding = "ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0"
    database.rows(f"CREATE DATABASE {name} {encoding}")
    database.url = database.url.rpartition("/")[0] + f"/{name}"  # its password is not ASCII
    assert "its encoding is not UTF-8." in sync(database.url, "--streams", CARTS, code=1)
    for cart in sync.sandbox.carts:
        cart.document = {"token": cart.token, "email": "müller"}
    assert counts(sync(database.url, "--streams", CARTS))[CARTS].rows == 120
    assert_equal(database, sync, CARTS)


def test_names_the_foreign_key_that_refuses_rows(sync, server):
    database = PostgreSQL(server)
    sync(database.url, "--streams", CARTS)
    database.rows("ALTER TABLE abandoned_carts ADD PRIMARY KEY (token)")
    database.rows("CREATE TABLE notes (cart TEXT CONSTRAINT of_cart REFERENCES abandoned_carts)")
    database.rows("INSERT INTO notes SELECT token FROM abandoned_carts")
    text = sync(database.url, "--streams", CARTS, code=1)
    assert "The foreign key of_cart of the table notes refuses that a row is replaced." in text
    database.rows(text[text.index("ALTER TABLE") :])
    sync(database.url, "--streams", CARTS)


def test_refuses_a_table_of_another_program(sync, tmp_path):
    database = DuckDB(tmp_path)
    database.rows("CREATE TABLE abandoned_carts (token TEXT, _airbyte_raw_id TEXT)")
    assert "Another program, or an earlier version, has written" in sync(database.url, code=1)
    assert database.rows("DESCRIBE abandoned_carts") != []
    assert sync.sandbox.requests == []


def test_refuses_files_that_are_not_duckdb(message, tmp_path):
    path = tmp_path / "carts.db"
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE carts (token TEXT)")
    assert "is an SQLite file. Name another file" in message(f"duckdb:///{path}")
    path.write_text("s3cret")
    assert "is not a DuckDB file. Name another file" in message(f"duckdb:///{path}")
    assert "is a folder. Write TO=duckdb:///" in message(f"duckdb:///{tmp_path}")


@pytest.mark.parametrize("only_reads", [False, True])
def test_names_the_program_that_has_the_file_open(message, tmp_path, only_reads):
    path = tmp_path / "carts.duckdb"
    duckdb.connect(path).close()
    script = (
        f"import duckdb; c = duckdb.connect('{path}', read_only={only_reads}); "
        "print(flush=True); input()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        other.stdout.readline()
        text = message(f"duckdb:///{path}")
        other.communicate(b"\n")
    assert "is open in another program: python3" in text
    assert f"process {other.pid}. If it is another sync, wait until it ends." in text


def test_no_other_program_can_open_the_file_during_a_sync(sync, tmp_path):
    path = tmp_path / "carts.duckdb"
    process = sync.start_and_stall(f"duckdb:///{path}", page=1)
    try:
        with pytest.raises(duckdb.IOException, match="lock"):
            duckdb.connect(path, read_only=True)
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)


def test_describes_a_constraint_in_duckdb_without_data(message, tmp_path):
    with duckdb.connect(tmp_path / "carts.duckdb") as file:
        file.execute(
            "CREATE TABLE carts (token TEXT PRIMARY KEY); INSERT INTO carts VALUES ('s3cret')"
        )
    statement = "INSERT INTO carts VALUES ('s3cret')"
    assert "A constraint in" in message(f"duckdb:///{tmp_path}/carts.duckdb", statement)


@pytest.mark.parametrize(
    ("to", "options", "sentence"),
    [
        ("duckdb:////proc/carts.duckdb", (), "Cannot open file"),
        ("snowflake", (), "DESTINATION__SNOWFLAKE__CREDENTIALS__DATABASE"),
        ("sqlalchemy", (), '-m uv pip install "dlt[sqlalchemy]"'),
        ("nowhere", (), "TO=nowhere is not a dlt destination."),
        ("data/x.duckdb", (), "Write TO=duckdb:///data/x.duckdb,"),
        ("duckdb:///x", ("--streams", "x"), "no stream x. Choose from abandoned_carts, cart_stats"),
        (
            "duckdb:///x",
            ("--streams", "departed_carts"),
            "Set snipcart_departed_carts to true in /",
        ),
        ("duckdb:///x", ("--config", "nowhere.json"), "There is no settings file /"),
        ("duckdb:///x", ("--picture", "carts.pdf"), "PICTURE must end in .png"),
        (
            "duckdb:///x",
            ("--picture", "/proc/carts.png"),
            "PICTURE=/proc/carts.png cannot be written",
        ),
    ],
)
def test_reports_invalid_options_in_one_sentence(sync, to, options, sentence):
    sync.environment["DESTINATION__SQLALCHEMY__CREDENTIALS"] = "sqlite:///carts.db"
    text = sync(to, *options, code=1)
    assert sentence in text
    assert len(text.splitlines()) <= 2
    assert sync.sandbox.requests == []
