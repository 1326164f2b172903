"""The Docker image, run as Airbyte runs it: read-only, without capabilities, not as root."""

import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections import Counter

import pytest
import yaml

from tools.processes import catalog
from tools.sandbox import Fault

from .harness import CARTS, ROOT, STATS


@pytest.fixture(scope="module")
def image():
    """Yield the name in IMAGE, or that of an image built from this checkout."""
    if shutil.which("docker") is None:
        pytest.skip("there is no docker command")
    if subprocess.run(["docker", "version"], capture_output=True, check=False).returncode != 0:
        pytest.skip("no Docker engine responds")
    if name := os.environ.get("IMAGE"):
        yield name
        return
    name = "source-abandoned-carts:test"
    subprocess.run(["docker", "build", "--quiet", "--tag", name, str(ROOT)], check=True)
    yield name
    subprocess.run(["docker", "image", "rm", name], check=True, stdout=subprocess.DEVNULL)


def start(image, sandbox, folder, *arguments):
    variables = [f"--env={name}={value}" for name, value in sandbox.environment.items()]
    options = "--rm --network=host --read-only --tmpfs=/tmp --cap-drop=ALL"
    options += " --security-opt=no-new-privileges"
    volume = f"--volume={folder}:/secrets:ro"
    return subprocess.Popen(
        ["docker", "run", *options.split(), *variables, volume, image, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        stdin=subprocess.DEVNULL,
        text=True,
    )


def run(kind, image, sandbox, folder, *arguments):
    """Run a command until it ends. Return its messages of a kind."""
    process = start(image, sandbox, folder, *arguments)
    text, _ = process.communicate(timeout=120)
    assert process.returncode == 0, text
    return [message for message in map(json.loads, text.splitlines()) if message["type"] == kind]


@pytest.fixture
def secrets(tmp_path, sandbox):
    tmp_path.chmod(0o755)  # the image's user is not the folder's owner
    files = {
        "config": sandbox.config,
        "wrong": {**sandbox.config, "snipcart_api_key": "wrong"},
        "catalog": catalog(CARTS, STATS),
    }
    for name, content in files.items():
        (tmp_path / f"{name}.json").write_text(json.dumps(content))
    return tmp_path


def test_spec_check_discover_and_read_work(image, sandbox, secrets):
    (message,) = run("SPEC", image, sandbox, secrets, "spec")
    spec = yaml.safe_load((ROOT / "source_abandoned_carts/spec.yaml").read_text())
    assert message["spec"].items() >= spec.items()
    arguments = (image, sandbox, secrets)
    config = ("--config", "/secrets/config.json")
    (message,) = run("CONNECTION_STATUS", *arguments, "check", *config)
    assert message["connectionStatus"]["status"] == "SUCCEEDED"
    wrong = ("--config", "/secrets/wrong.json")
    (message,) = run("CONNECTION_STATUS", *arguments, "check", *wrong)
    assert message["connectionStatus"]["status"] == "FAILED"
    assert "Snipcart refused the request" in message["connectionStatus"]["message"]
    (message,) = run("CATALOG", *arguments, "discover", *config)
    names = [stream["name"] for stream in message["catalog"]["streams"]]
    assert names == [CARTS, STATS]
    messages = run("RECORD", *arguments, "read", *config, "--catalog", "/secrets/catalog.json")
    counts = Counter(message["record"]["stream"] for message in messages)
    assert counts[CARTS] == len(sandbox.carts)
    assert counts[STATS] > 30


@pytest.mark.parametrize(("signal", "code"), [("TERM", 143), ("INT", 130)])
def test_signal_ends_the_container_at_once(image, sandbox, secrets, signal, code):
    sandbox.faults = [Fault("slow", seconds=60)]
    options = ("--config", "/secrets/config.json", "--catalog", "/secrets/catalog.json")
    process = start(image, sandbox, secrets, "read", *options)
    while sandbox.faults[0].times:
        assert process.poll() is None
        time.sleep(0.1)
    listing = ["docker", "ps", "--quiet", "--filter", f"ancestor={image}"]
    (container,) = subprocess.check_output(listing, text=True).split()
    began = time.monotonic()
    subprocess.run(["docker", "kill", f"--signal={signal}", container], check=True)
    process.communicate(timeout=30)
    assert process.returncode == code
    assert time.monotonic() - began < 30  # the response would take 60


def test_image_has_an_entrypoint_and_a_user(image):
    (details,) = json.loads(subprocess.check_output(["docker", "image", "inspect", image]))
    config = details["Config"]
    assert f"AIRBYTE_ENTRYPOINT={' '.join(config['Entrypoint'])}" in config["Env"]
    assert config["User"] == "airbyte"


BLOCKED = """
import json, sys
from importlib.metadata import packages_distributions
left_out = set(json.loads(sys.argv.pop(1)))
modules = {name for name, owners in packages_distributions().items() if left_out & set(owners)}
modules -= {name for name, owners in packages_distributions().items() if set(owners) - left_out}

class Finder:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in modules:
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, Finder())
from source_abandoned_carts.run import run
run()
"""


@pytest.mark.parametrize(
    ("config", "code", "kind"), [("config", 0, "RECORD"), ("wrong", 1, "TRACE")]
)
def test_connector_runs_without_the_packages_left_out(sandbox, secrets, config, code, kind):
    requirements = (ROOT / "requirements.txt").read_text()
    left_out = re.findall("^# ([a-z0-9-]+)$", requirements, re.MULTILINE)
    assert {"pandas", "numpy", "grpcio", "pyasn1"} <= set(left_out)
    files = ("--config", secrets / f"{config}.json", "--catalog", secrets / "catalog.json")
    done = subprocess.run(
        [sys.executable, "-c", BLOCKED, json.dumps(left_out), "read", *files],
        env={**os.environ, **sandbox.environment},
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    assert done.returncode == code, done.stdout
    assert kind in {json.loads(line)["type"] for line in done.stdout.splitlines()}
