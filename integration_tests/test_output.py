"""Standard output that cannot be written, other locales, and nulls. All use the real executable."""

import json
import subprocess

import pytest

from tools.processes import catalog

from .forks import EXECUTABLE
from .harness import CARTS, STATS

CUSTOMER = "müller→山田@shop.example"

OUTPUTS = {
    "disk full": ">/dev/full",
    "closed": ">&-",
    "all closed": ">&- 2>&- <&-",
    "file-size limit": ">file; ulimit -f 0; exec >>file",
    "closed pipe": "| true",
}
COMMANDS = ["spec", "check", "discover", "read"]


@pytest.fixture
def private_sandbox(sandbox):
    for cart in sandbox.carts:
        cart.document["email"] = CUSTOMER
    return sandbox


@pytest.fixture
def run(private_sandbox, executable, tmp_path):
    """Return a function that runs a command line in a shell, in a folder with the files."""
    files = {"config": private_sandbox.config, "catalog": catalog(CARTS, STATS)}
    for name, content in files.items():
        (tmp_path / f"{name}.json").write_text(json.dumps(content))

    def run(command, redirection="", **environment):
        arguments = {"spec": "", "read": "--config config.json --catalog catalog.json"}
        line = f'"{EXECUTABLE}" {command} {arguments.get(command, "--config config.json")}'
        if redirection.startswith("|"):
            # Wait until nobody reads the pipe any more, then return the command's exit code.
            line = f"{{ sleep 0.3; {line}; echo $? >code; }} {redirection}; exit $(cat code)"
        elif ";" in redirection:
            first, _, limit = redirection.partition(";")
            line = f"true {first}; {limit}; {line}"
        else:
            line = f"{line} {redirection}"
        return subprocess.run(
            ["bash", "-c", line],
            cwd=tmp_path, env={**executable.environment, **environment},
            capture_output=True, timeout=60, check=False,
        )  # fmt: skip

    return run


@pytest.mark.parametrize("redirection", OUTPUTS.values(), ids=OUTPUTS)
@pytest.mark.parametrize("command", COMMANDS)
def test_ends_at_once_if_it_cannot_write(run, command, redirection):
    result = run(command, redirection)
    assert result.returncode == 1, result
    lines = result.stderr.decode().splitlines()
    assert len(lines) == (0 if "2>&-" in redirection else 1), result.stderr
    assert all(line.startswith("source-abandoned-carts: standard output ") for line in lines)


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
