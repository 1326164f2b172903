"""Databases for tests to sync into: a DuckDB file, and a PostgreSQL server started for them."""

import contextlib
import itertools
import json
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import quote

import duckdb
import psycopg
import pytest

PASSWORD = "p@ss/wörd:%1"
_numbers = itertools.count(1)


class Database(Protocol):
    """A database of a test's own."""

    name: str
    url: str

    def ask(self, statement: str) -> list[tuple[Any, ...]]:
        """Run a statement and give its rows."""

    def rows(self, table: str) -> list[dict[str, Any]]:
        """All rows of a table; date-times are aware, JSON is parsed."""


class DuckDB:
    name = "duckdb"

    def __init__(self, folder: Path) -> None:
        self.path = folder / "carts.duckdb"
        self.url = f"duckdb:///{self.path}"

    def ask(self, statement: str) -> list[tuple[Any, ...]]:
        with duckdb.connect(str(self.path)) as connection:
            # Not UTC: an instant must be the same one everywhere.
            found = connection.execute(f"SET TimeZone = 'Asia/Kolkata'; {statement}")
            return found.fetchall()

    def rows(self, table: str) -> list[dict[str, Any]]:
        columns = self.ask(f"SELECT column_name, column_type FROM (DESCRIBE {table})")
        return [
            {
                name: json.loads(value) if kind == "JSON" and value is not None else value
                for (name, kind), value in zip(columns, row, strict=True)
            }
            for row in self.ask(f"FROM {table}")
        ]


class PostgreSQL:
    name = "postgresql"

    def __init__(self, server: str) -> None:
        database = f"test_{next(_numbers)}"
        with psycopg.connect(f"{server}/postgres", autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {database}".encode())
        self.url = f"{server}/{database}"

    def ask(self, statement: str) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.url, options="-c TimeZone=Asia/Kolkata") as connection:
            cursor = connection.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []

    def rows(self, table: str) -> list[dict[str, Any]]:
        with psycopg.connect(self.url) as connection:
            cursor = connection.cursor(row_factory=psycopg.rows.dict_row)
            return cursor.execute(f"SELECT * FROM {table}".encode()).fetchall()


@contextlib.contextmanager
def postgresql_server() -> Iterator[str]:
    """Start a server on a free port and give its URL without a database; skip if there is none."""
    programs = [Path(found).resolve().parent for found in [shutil.which("initdb")] if found]
    programs += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    if not programs:
        pytest.skip("no PostgreSQL server is installed (Debian's package postgresql has one)")
    # The server refuses to run as root.
    user = "postgres" if os.geteuid() == 0 else None
    with tempfile.TemporaryDirectory() as name, socket.socket() as probe:
        folder = Path(name)
        (folder / "password").write_text(PASSWORD)
        if user:
            for path in (folder, folder / "password"):
                shutil.chown(path, user)
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
        probe.close()
        subprocess.run(
            [programs[0] / "initdb", "--no-sync", "--username=owner", "--auth=scram-sha-256",
             f"--pwfile={folder / 'password'}", "--encoding=UTF8", "--locale=C", folder / "data"],
            user=user, check=True, stdout=subprocess.DEVNULL,
        )  # fmt: skip
        server = subprocess.Popen(
            [programs[0] / "postgres", "-D", folder / "data", "-p", str(port), "-F",
             "-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories="],
            user=user, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        url = f"postgresql://owner:{quote(PASSWORD, safe='')}@127.0.0.1:{port}"
        try:
            _wait_for(url)
            yield url
        finally:
            server.terminate()
            server.wait(30)


def _wait_for(url: str) -> None:
    for _ in range(100):
        with contextlib.suppress(psycopg.OperationalError):
            psycopg.connect(f"{url}/postgres").close()
            return
        time.sleep(0.1)
    raise TimeoutError("the PostgreSQL server did not start")
