"""The commands in the documents, run as they are printed."""

import csv
import json
import re
import subprocess
import sys
import textwrap
from collections import Counter

import pytest

from .forks import EXECUTABLE
from .harness import CARTS, ROOT
from .syncs import counts
from .test_queries import carts_by_week

README = (ROOT / "README.md").read_text()
SYNC = (ROOT / "docs/sync.md").read_text()

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
