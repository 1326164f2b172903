"""The clients. Each one syncs all streams, and returns the rows that it wrote."""

import json
import os
import subprocess
from decimal import Decimal
from pathlib import Path
from typing import Any

from integration_tests.databases import DuckDB
from integration_tests.forks import EXECUTABLE
from integration_tests.harness import ROOT, instant
from tools.sandbox import Sandbox

KEYS = {"abandoned_carts": "token", "cart_stats": "date_from", "departed_carts": "token"}
RowsByKey = dict[str, dict[str, Any]]


class OtherClient:
    environment: str
    """The folder of its virtual environment in .venv-clients."""

    def __init__(self, folder: Path, sandbox: Sandbox) -> None:
        self.folder = folder
        self.settings = {**sandbox.config, "snipcart_departed_carts": True}
        self._variables = {
            **os.environ,
            **sandbox.environment,
            "HOME": str(folder),
            "TMPDIR": str(folder),
            "AIRBYTE_LOGGING_ROOT": str(folder),
            "AIRBYTE_OFFLINE_MODE": "1",
            "DO_NOT_TRACK": "1",
        }

    def run(self, program: str, *arguments: object) -> subprocess.CompletedProcess[str]:
        """Run a program of the client's environment until it ends."""
        command = [ROOT / ".venv-clients" / self.environment / "bin" / program, *arguments]
        return subprocess.run(
            list(map(str, command)),
            check=False,
            cwd=self.folder,
            env=self._variables,
            capture_output=True,
            text=True,
            timeout=300,
        )

    def sync(self) -> None:
        raise NotImplementedError

    def rows(self, stream: str) -> RowsByKey:
        """Return the rows by key. Of rows with the same key, the last one counts."""
        raise NotImplementedError

    def stored(self, record: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
        """Return the row in which the client stores the record."""
        return record


class PyAirbyte(OtherClient):
    """PyAirbyte with its DuckDB cache."""

    environment = "pyairbyte"

    def __init__(self, folder: Path, sandbox: Sandbox) -> None:
        super().__init__(folder, sandbox)
        self._database = DuckDB(folder)

    def sync(self) -> None:
        script, settings = ROOT / "client_tests/pyairbyte.py", json.dumps(self.settings)
        result = self.run("python", script, EXECUTABLE, settings, self._database.path)
        assert result.returncode == 0, result.stderr
        self.output = result.stdout

    def rows(self, stream: str) -> RowsByKey:
        rows = {}
        for row in self._database.rows(f"SELECT * FROM {stream}"):
            rows[str(row[KEYS[stream]])] = {
                name: float(value) if isinstance(value, Decimal) else value
                for name, value in row.items()
                if value is not None and not name.startswith("_airbyte")
            }
        return rows

    def stored(self, record: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
        row = {}
        for name, declared in schema["properties"].items():
            value = record.get(name)
            if declared.get("format") == "date-time":
                value = value and instant(value).replace(tzinfo=None)
            elif "anyOf" in declared and not isinstance(value, str | None):
                value = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
            if value is not None:
                row[name.lower()] = value
        return row


class Singer(OtherClient):
    """A tap on Singer's SDK. Its output is what a target receives."""

    environment = "singer"

    def __init__(self, folder: Path, sandbox: Sandbox) -> None:
        super().__init__(folder, sandbox)
        self._records: list[dict[str, Any]] = []
        (folder / "state.json").write_text("{}")

    def sync(self) -> None:
        config = {"executable": str(EXECUTABLE), "settings": self.settings}
        (self.folder / "config.json").write_text(json.dumps(config))
        tap = ROOT / "client_tests/tap.py"
        result = self.run("python", tap, "--config", "config.json", "--state", "state.json")
        assert result.returncode == 0, result.stderr
        messages = [json.loads(line) for line in result.stdout.splitlines()]
        self._records += [message for message in messages if message["type"] == "RECORD"]
        *_, state = (message["value"] for message in messages if message["type"] == "STATE")
        (self.folder / "state.json").write_text(json.dumps(state))

    def rows(self, stream: str) -> RowsByKey:
        records = [line["record"] for line in self._records if line["stream"] == stream]
        return {record[KEYS[stream]]: record for record in records}


class AirbyteServerless(OtherClient):
    """airbyte-serverless with its destination `print`."""

    environment = "airbyte-serverless"

    def __init__(self, folder: Path, sandbox: Sandbox) -> None:
        super().__init__(folder, sandbox)
        self._printed: list[tuple[str, dict[str, Any]]] = []

    def abs_run(self) -> subprocess.CompletedProcess[str]:
        connection = {
            "source": {"executable": str(EXECUTABLE), "config": self.settings, "streams": None},
            "destination": {"connector": "print", "config": {}},
            "remote_runner": {"type": "direct"},
        }
        file = self.folder / "connections/carts.yaml"
        if not file.exists():
            self.run("abs", "create", "carts", "--source", EXECUTABLE).check_returncode()
        file.write_text(json.dumps(connection))
        return self.run("abs", "run", "carts")

    def sync(self) -> None:
        table = ""
        for line in self.abs_run().stdout.splitlines():
            if line.startswith("_AIRBYTE_"):
                table = line.removeprefix("_AIRBYTE_RAW_").lower()
            elif line.startswith('{"_airbyte_raw_id"'):
                self._printed.append((table, json.loads(json.loads(line)["_airbyte_data"])))

    def rows(self, stream: str) -> RowsByKey:
        records = [record for table, record in self._printed if table == stream]
        return {record[KEYS[stream]]: record for record in records}
