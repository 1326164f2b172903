"""Run `python -m sync` against a sandbox, and compare the tables with the connector's records."""

import copy
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from sync.columns import OTHERS, column_name
from tools.sandbox import Fault, Sandbox

from .databases import PASSWORD, AnyDatabase
from .harness import ROOT, STATS, Runner, instant


class SummaryLine(NamedTuple):
    """A stream's line in a printed summary."""

    read: int
    new: int
    changed: int
    rows: int


class Sync:
    """`python -m sync` against a sandbox, with its settings in a file."""

    def __init__(self, folder: Path, sandbox: Sandbox, connector: Runner, proxy: str) -> None:
        self.settings_file = folder / "sync.json"
        self.sandbox, self.connector = sandbox, connector
        self.config = dict(sandbox.config)
        self.module = "sync"
        self.temporary, self.home = folder / "tmp", folder / "home"
        self.temporary.mkdir()
        self.environment = {
            **os.environ,
            **sandbox.environment,
            "TMPDIR": str(self.temporary),
            "HOME": str(self.home),
            "NO_PROXY": "127.0.0.1",
            "HTTPS_PROXY": proxy,
            "HTTP_PROXY": proxy,
        }

    def start(self, to: str, *options: str, **arguments: Any) -> subprocess.Popen[str]:
        self.settings_file.write_text(json.dumps(self.config))
        command = [sys.executable, "-m", *self.module.split(), "--config", str(self.settings_file)]
        return subprocess.Popen(
            [*command, "--to", to, *options],
            cwd=ROOT,
            env=self.environment,
            text=True,
            encoding="utf-8",
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            **arguments,
        )

    def __call__(self, to: str, *options: str, code: int = 0, **arguments: Any) -> str:
        """Run a sync until it ends. Return its output."""
        process = self.start(to, *options, **arguments)
        text, _ = process.communicate(timeout=120)
        assert process.returncode == code, text
        assert "Traceback" not in text
        assert PASSWORD not in text
        assert "%C3%B6" not in text
        return text

    def start_and_stall(self, to: str, page: int, *options: str) -> subprocess.Popen[str]:
        """Start a sync. Return when it waits for this page of carts, which does not come."""
        self.sandbox.requests.clear()
        fault = Fault("slow", seconds=30, when=lambda _: len(self.sandbox.to("snipcart")) == page)
        self.sandbox.faults = [fault]
        process = self.start(to, *options)
        while fault.times:
            assert process.poll() is None
            time.sleep(0.05)
        self.sandbox.faults = []
        return process

    def kill_at(self, step: str, to: str, *options: str) -> None:
        """Kill a sync at a step of kill_at.py."""
        self.module = f"integration_tests.kill_at {step}"
        self(to, *options, code=-9)
        self.module = "sync"
        for leftover in self.temporary.iterdir():
            subprocess.run(["rm", "-r", leftover], check=True)


def make_unusual(sandbox: Sandbox) -> None:
    """Give carts values that a loader may change. The list has one of 120 carts twice."""
    sandbox.carts[0].document |= {
        "newField": {"deep": [1, {"x": None}], "text": "00042"},
        "Email": "capital",
        "___": 1,
        "id": "9007199254740993",
        "total": 9007199254740993,
        "baseTotal": 0.1 + 0.2,
        "invoiceNumber": "00123",
        "lang": 7,
        "user": [],
        "metadata": {"id": 2**63 + 1, "nul": "\0 \\u0000 \\\0", "null": None},
        "completionDate": "2026-01-01T01:02:03.1234567-05:00",
        "email": "\ue000\uf8ff",
        "currency": "",
        "status": '{"a": 1}',
    }
    sandbox.carts[7].document["items"] = "none"
    del sandbox.carts[8].document["token"], sandbox.carts[9].document["token"]
    sandbox.carts.append(copy.deepcopy(sandbox.carts[3]))  # the last one counts
    sandbox.carts[-1].document["total"] = 77.5


def counts(text: str) -> dict[str, SummaryLine]:
    """Return the lines of a printed summary by stream."""
    found = re.findall(r"^(\w+)((?: +[\d,]+){4}) *$", text, re.MULTILINE)
    return {
        name: SummaryLine(*(int(each.replace(",", "")) for each in numbers.split()))
        for name, numbers in found
    }


def assert_equal(database: AnyDatabase, sync: Sync, *streams: str) -> None:
    """Check that the tables contain each record that the connector emits, with all its fields.

    Of records with the same key, the last one counts. The tables keep carts that left the list.
    """
    (message,) = sync.connector.run("discover", config=sync.config).of("CATALOG")
    schemas = {s["name"]: s["json_schema"]["properties"] for s in message["catalog"]["streams"]}
    schemas = {name: schemas[name] for name in streams or schemas}
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


def _found(database: AnyDatabase, table: str, fields: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for row in database.rows(f"SELECT * FROM {table}"):
        found = {field: row[column_name(field)] for field in fields} | (row[OTHERS] or {})
        yield {field: value for field, value in found.items() if value is not None}
