"""Standard output that cannot be written, and other locales. All tests run the executable."""

import json
import os
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tools.processes import catalog

from .forks import EXECUTABLE
from .harness import CARTS, STATS

CUSTOMER = "müller→山田@shop.example"
COMMANDS = ["spec", "check", "discover", "read"]
ARGUMENTS = {"spec": "", "read": "--config config.json --catalog catalog.json"}


@pytest.fixture
def private_sandbox(sandbox):
    for cart in sandbox.carts:
        cart.document["email"] = CUSTOMER
    return sandbox


@pytest.fixture
def run(private_sandbox, executable, tmp_path):
    """Return a function that runs a command in a shell, in a folder with the files."""
    files = {"config": private_sandbox.config, "catalog": catalog(CARTS, STATS)}
    for name, content in files.items():
        (tmp_path / f"{name}.json").write_text(json.dumps(content))

    def run(command, in_shell='"$@"', stdout=subprocess.PIPE, **environment):
        arguments = ARGUMENTS.get(command, "--config config.json").split()
        return subprocess.run(
            ["bash", "-c", in_shell, "bash", EXECUTABLE, command, *arguments],
            cwd=tmp_path,
            env={**executable.environment, **environment},
            stdout=stdout,
            stderr=subprocess.PIPE,
            timeout=60,
            check=False,
        )

    return run


def assert_reports(result, lines):
    assert result.returncode == 1, result
    found = result.stderr.decode().splitlines()
    assert len(found) == lines, found
    assert all(line.startswith("source-abandoned-carts: standard output ") for line in found)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has /dev/full")
@pytest.mark.parametrize("command", COMMANDS)
def test_ends_at_once_if_the_disk_is_full(run, command):
    assert_reports(run(command, '"$@" >/dev/full'), lines=1)


@pytest.mark.parametrize(
    ("in_shell", "lines"),
    [('"$@" >&-', 1), ('"$@" >&- 2>&- <&-', 0), ('ulimit -f 0; "$@" >>file', 1)],
    ids=["closed", "all closed", "file-size limit"],
)
@pytest.mark.parametrize("command", COMMANDS)
def test_ends_at_once_if_it_cannot_write(run, command, in_shell, lines):
    assert_reports(run(command, in_shell), lines)


@pytest.mark.parametrize("command", COMMANDS)
def test_ends_at_once_if_nobody_reads(run, command):
    reader, pipe = os.pipe()
    os.close(reader)
    with open(pipe, "w") as unread:
        assert_reports(run(command, stdout=unread), lines=1)


def test_waits_for_the_reader_of_a_non_blocking_pipe(run):
    """A pipe is non-blocking if another program that writes to it, such as Node.js, made it so."""
    reader, pipe = os.pipe()
    os.set_blocking(pipe, False)
    with ThreadPoolExecutor() as pool, open(reader, "rb") as output:
        with open(pipe, "wb") as unread:
            running = pool.submit(run, "read", stdout=unread)
            time.sleep(2)  # longer than it takes to fill the pipe
        lines = output.readlines()
        assert running.result().returncode == 0
    assert [json.loads(line)["type"] for line in lines].count("RECORD") > 120


LOCALES = [
    {"PYTHONIOENCODING": "cp1252"},
    {"PYTHONIOENCODING": "latin-1"},
    {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
]


@pytest.mark.parametrize("locale", LOCALES, ids=lambda locale: next(iter(locale.values())))
def test_reads_the_same_in_any_locale(run, private_sandbox, locale):
    result = run("read", **locale)
    assert (result.returncode, result.stderr) == (0, b"")
    messages = [json.loads(line) for line in result.stdout.decode("utf-8").splitlines()]
    data = [m["record"]["data"] for m in messages if m["type"] == "RECORD"]
    assert [cart["email"] for cart in data if "email" in cart] == [CUSTOMER] * 120


@pytest.mark.parametrize("locale", LOCALES, ids=lambda locale: next(iter(locale.values())))
def test_check_answers_in_any_locale(run, private_sandbox, locale):
    private_sandbox.snipcart_key = "another"
    result = run("check", **locale)
    assert (result.returncode, result.stderr) == (0, b"")
    status = json.loads(result.stdout.decode("utf-8").splitlines()[-1])["connectionStatus"]
    assert "Account → API keys → Secret" in status["message"]
