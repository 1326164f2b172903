"""The commands in the documents, run as they are printed."""

import csv
import json
import re
import subprocess
import sys
import textwrap
from collections import Counter

import pytest
import yaml

from .databases import PostgreSQL
from .forks import EXECUTABLE
from .harness import CARTS, ROOT, STATS
from .syncs import counts
from .test_queries import carts_by_week

README = (ROOT / "README.md").read_text()
SYNC = (ROOT / "docs/sync.md").read_text()
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text()
MAKEFILE = (ROOT / "Makefile").read_text()

COMMANDS_RUN_BY_CI = {
    "make test",
    "make lint",
    "make image",
    "make test-slow",
    "make clients",
    "make test-bigquery",
    "make chaos",
    "make newest",
}
COMMANDS_RUN_HERE = {
    "make": "make test",
    ".venv/bin/python -m pytest unit_tests/test_config.py -k requires_at_least_one_key": "1 passed",
    ".venv/bin/python -m tools.sandbox --help": "--fault",
}
"""Commands of CONTRIBUTING.md, and what they print."""
COMMANDS_NOT_RUN = {
    ".venv/bin/python -m pytest unit_tests": "`make test` runs these tests",
    "make format": "it would change the files that are tested",
    "make bench": "it takes twelve minutes; test_benchmarks.py runs it with few carts",
    "make load": "it takes ten minutes; test_benchmarks.py runs it with few carts",
    "make picture": "it would change docs/demo.png; test_picture.py compares what it draws",
    "make chaos SEED=17": "it takes a minute; test_chaos.py runs a short seed",
    "make probe": "it needs an account; test_probe.py runs it with the sandbox",
    "make sandbox": "it runs until it is stopped; test_sandbox.py runs it",
    "HYPOTHESIS_PROFILE=campaign .venv/bin/python -m pytest unit_tests/test_properties.py": (
        "it takes hours; `make test` runs these tests with fewer examples"
    ),
    ".venv/bin/airbyte-cdk connector test ./": (
        "it needs Docker and a network; test_standard.py runs it without an image"
    ),
}

OWN_FILES = {"secrets", "data", "demo", ".git"}
"""What a developer's checkout may have, and a new one has not."""

DOCKER = f"""
import os, re, sys
match sys.argv[1:]:
    case ["build", "--tag", "source-abandoned-carts:local", "."]:
        pass
    case ["run", "--rm", "--volume", volume, "source-abandoned-carts:local", *command]:
        outside, inside = volume.split(":")
        words = [word.replace(inside, outside) for word in command]
        os.execv({str(EXECUTABLE)!r}, ["docker", *words])
    case _:
        sys.exit(1)
"""
KIND = """#!/bin/sh
test "$*" = "load docker-image source-abandoned-carts:local --name airbyte-abctl"
"""


def blocks(text, language="sh"):
    """Return the blocks of code in a language. They may be indented."""
    return [
        textwrap.dedent(block)
        for block in re.findall(rf"^ *```{language}\n(.*?)^ *```", text, re.DOTALL | re.MULTILINE)
    ]


@pytest.fixture
def checkout(sync, tmp_path):
    """A folder with the project, and a function that runs a line in it.

    Stand-ins for docker and kind are on the path.
    """
    folder = tmp_path / "source-abandoned-carts"
    programs = tmp_path / "programs"
    for each in (folder, programs):
        each.mkdir()
    for path in ROOT.iterdir():
        if path.name not in OWN_FILES:
            (folder / path.name).symlink_to(path)
    (programs / "docker.py").write_text(DOCKER)
    docker = f"#!/bin/sh\nexec '{sys.executable}' '{programs}/docker.py' \"$@\"\n"
    for name, script in {"docker": docker, "kind": KIND}.items():
        (programs / name).write_text(script)
        (programs / name).chmod(0o755)
    path = f"{programs}:{sync.environment['PATH']}"
    environment = {**sync.environment, "HOME": str(tmp_path), "PATH": path}
    environment.pop("MAKEFLAGS", None)

    def run(line, code=0):
        process = subprocess.run(
            ["sh", "-ec", line],
            cwd=folder,
            env=environment,
            text=True,
            encoding="utf-8",
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=120,
            check=False,
        )
        assert process.returncode == code, process.stdout
        return process.stdout

    (folder / "secrets").mkdir()
    (settings,) = blocks(README, "json")
    key = {"snipcart_api_key": sync.sandbox.snipcart_key, "retargeting_rest_key": ""}
    (folder / "secrets/config.json").write_text(json.dumps(json.loads(settings) | key))
    return run


def test_readme_has_these_blocks():
    """Each block of README.md needs a test. `make test` is not run: this test is part of it."""
    first_words = [[line.split()[0] for line in block.splitlines()] for block in blocks(README)]
    demo, query, image, check = first_words
    assert demo == ["make", "make"]
    assert query[0] == ".venv/bin/python"
    assert image == ["docker", "kind"]
    assert check == ["docker", "check"]


def test_contributing_has_these_commands():
    """Each command in a table of CONTRIBUTING.md needs a test, or a reason why it has none."""
    cells = re.findall(r"^\| [^|]+ \| (`[^|]+`) \|$", CONTRIBUTING, re.MULTILINE)
    commands = {command for cell in cells for command in re.findall(r"`([^`]+)`", cell)}
    assert commands == COMMANDS_RUN_BY_CI | COMMANDS_RUN_HERE.keys() | COMMANDS_NOT_RUN.keys()


def test_ci_runs_commands_that_take_long():
    jobs = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text())["jobs"]
    each_change = next(step["run"] for step in jobs["test"]["steps"] if "run" in step)
    targets = each_change.split()[1:] + jobs["weekly"]["strategy"]["matrix"]["target"]
    assert {f"make {target}" for target in targets} >= COMMANDS_RUN_BY_CI


@pytest.mark.parametrize("command", COMMANDS_RUN_HERE)
def test_contributing_command_runs(checkout, command):
    assert COMMANDS_RUN_HERE[command] in checkout(command)


def test_makefile_has_all_named_targets():
    named = set()
    for path in (*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("tools/*/*.md")):
        named |= set(re.findall(r"(?:`|^)make ([a-z-]+)", path.read_text(), re.MULTILINE))
    targets = set(re.findall(r"^([a-z-]+):", MAKEFILE, re.MULTILINE))
    assert named <= targets
    printed = set(re.findall(r'echo "make ([a-z-]+) ', MAKEFILE))
    assert printed == targets - {"help"}


def test_make_refuses_an_option_in_small_letters(checkout):
    """make would ignore it, and write into the default database."""
    assert "Write to= in capital letters" in checkout("make sync to=duckdb:///x.duckdb", code=2)


def test_demo_runs(checkout):
    demo, _ = blocks(README)[0].splitlines()
    assert counts(checkout(demo))[CARTS].rows == 305  # the last summary counts


def test_readme_query_returns_what_python_computes(checkout, sandbox):
    del sandbox.carts[8:]  # DuckDB would not print all rows
    assert counts(checkout("make sync"))[CARTS].rows == 8
    printed = re.findall(
        r"^│ (\S.*?) +│ (\S.*?) +│ +(\d+) │ +(\S+) │$", checkout(blocks(README)[1]), re.M
    )
    found = Counter(
        (week, currency, int(carts), float(value)) for week, currency, carts, value in printed
    )
    assert found == Counter(carts_by_week(sandbox))


def test_readme_runs_the_image(checkout):
    build, check = blocks(README)[2:]
    checkout(build)
    assert '"status":"SUCCEEDED"' in checkout(check)


class TestCommandsOfMakeSync:
    """The first block of docs/sync.md. `TO=bigquery` is run by `make test-bigquery`.

    `make sync` alone is run by the tests of what the README and docs/sync.md do with its tables.
    """

    ALONE, PICTURE, TO_POSTGRESQL, TO_BIGQUERY, WITH_ALL = blocks(SYNC)[0].splitlines()

    def test_alone(self):
        assert self.ALONE.split("#")[0].strip() == "make sync"

    def test_with_a_picture(self, checkout, tmp_path):
        output = checkout(self.PICTURE)
        assert "Carts by week of their last change" in output
        picture = tmp_path / "source-abandoned-carts/data/carts.png"
        assert picture.read_bytes().startswith(b"\x89PNG")

    def test_to_postgresql(self, checkout, server):
        database = PostgreSQL(server)
        url = "postgresql://user@host/database"
        assert url in self.TO_POSTGRESQL
        output = checkout(self.TO_POSTGRESQL.replace(url, f"'{database.url}'"))
        assert counts(output)[CARTS].rows == 120
        assert database.rows(f"SELECT count(*) FROM {CARTS}") == [{"count": 120}]

    def test_with_all_options(self, checkout, sandbox, tmp_path):
        folder = tmp_path / "source-abandoned-carts"
        config = {"start_date": "2026-01-01", "retargeting_rest_key": sandbox.retargeting_key}
        (folder / "secrets/other.json").write_text(json.dumps(config))
        assert counts(checkout(self.WITH_ALL)).keys() == {STATS}
        assert (folder / "data/other.duckdb").exists()

    def test_to_bigquery(self):
        assert self.TO_BIGQUERY.split("#")[0].strip() == "make sync TO=bigquery"


def test_writes_a_table_into_a_csv_file(checkout, sandbox, tmp_path):
    checkout("make sync")
    checkout(blocks(SYNC)[1])
    with (tmp_path / "source-abandoned-carts/data/carts.csv").open(encoding="utf-8") as file:
        tokens = [row["token"] for row in csv.DictReader(file)]
    assert sorted(tokens) == sorted(cart.token for cart in sandbox.carts)


def test_crontab_logs_and_reports_a_failure(checkout, tmp_path):
    (line,) = re.findall(r"^5 \* \* \* \* (.*)$", SYNC, re.MULTILINE)
    assert checkout(line) == ""
    assert counts((tmp_path / "carts.log").read_text())[CARTS].rows == 120
    (tmp_path / "source-abandoned-carts/secrets/config.json").unlink()
    assert checkout(line) == "make sync: exit code 2\n"
    assert "config.json" in (tmp_path / "carts.log").read_text()
