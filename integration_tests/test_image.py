"""The Docker image, as Airbyte runs it: read-only, without capabilities, not as root."""

import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from sandbox import Fault, Sandbox

from .conftest import HERE, catalog

ROOT = HERE.parent


@pytest.fixture(scope="module")
def image() -> Iterator[str]:
    """The image that IMAGE names, or one built from this checkout."""
    if shutil.which("docker") is None:
        pytest.skip("there is no docker command")
    asked = subprocess.run(["docker", "version"], capture_output=True, text=True, check=False)
    if asked.returncode != 0:
        pytest.skip("no Docker engine answers")
    if name := os.environ.get("IMAGE"):
        yield name
        return
    name = "source-abandoned-carts:test"
    subprocess.run(["docker", "build", "--quiet", "--tag", name, str(ROOT)], check=True)
    yield name
    subprocess.run(["docker", "image", "rm", name], check=True, stdout=subprocess.DEVNULL)


def start(image: str, sandbox: Sandbox, *words: str, folder: Path | None = None) -> Any:
    variables = [f"--env={name}={value}" for name, value in sandbox.environment.items()]
    mount = [f"--volume={folder}:/secrets:ro"] if folder else []
    return subprocess.Popen(
        ["docker", "run", "--rm", "--network=host", "--read-only", "--tmpfs=/tmp", "--cap-drop=ALL",
         "--security-opt=no-new-privileges", *variables, *mount, image, *words],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, text=True,
    )  # fmt: skip


def run(image: str, sandbox: Sandbox, *words: str, folder: Path | None = None) -> list[Any]:
    process = start(image, sandbox, *words, folder=folder)
    text, _ = process.communicate(timeout=120)
    assert process.returncode == 0, text
    return [json.loads(line) for line in text.splitlines()]


@pytest.fixture
def secrets(tmp_path: Path, sandbox: Sandbox) -> Path:
    tmp_path.chmod(0o755)  # pytest's are for their owner alone, and the image's user is another
    files = {
        "config": sandbox.config,
        "wrong": {**sandbox.config, "snipcart_api_key": "wrong"},
        "catalog": catalog("abandoned_carts", "cart_stats"),
    }
    for name, content in files.items():
        (tmp_path / f"{name}.json").write_text(json.dumps(content))
    return tmp_path


def test_spec_is_the_one_in_the_package(image, sandbox):
    (spec,) = [m["spec"] for m in run(image, sandbox, "spec") if m["type"] == "SPEC"]
    assert spec.items() >= yaml.safe_load(
        (ROOT / "source_abandoned_carts/spec.yaml").read_text()
    ).items()  # fmt: skip


def test_check_discover_and_read_work(image, sandbox, secrets):
    options = ("--config", "/secrets/config.json")
    (status,) = [
        m["connectionStatus"]
        for m in run(image, sandbox, "check", *options, folder=secrets)
        if m["type"] == "CONNECTION_STATUS"
    ]
    assert status["status"] == "SUCCEEDED"
    (found,) = [
        m["catalog"]["streams"]
        for m in run(image, sandbox, "discover", *options, folder=secrets)
        if m["type"] == "CATALOG"
    ]
    assert [stream["name"] for stream in found] == ["abandoned_carts", "cart_stats"]
    messages = run(
        image, sandbox, "read", *options, "--catalog", "/secrets/catalog.json", folder=secrets
    )
    counts = Counter(m["record"]["stream"] for m in messages if m["type"] == "RECORD")
    assert counts["abandoned_carts"] == len(sandbox.carts)
    assert counts["cart_stats"] > 30


def test_a_wrong_key_is_told(image, sandbox, secrets):
    messages = run(image, sandbox, "check", "--config", "/secrets/wrong.json", folder=secrets)
    (status,) = [m["connectionStatus"] for m in messages if m["type"] == "CONNECTION_STATUS"]
    assert status["status"] == "FAILED"
    assert "Snipcart refused the request" in status["message"]


@pytest.mark.parametrize(("signal", "code"), [("TERM", 143), ("INT", 130)])
def test_a_signal_ends_it_at_once(image, sandbox, secrets, signal, code):
    sandbox.faults = [Fault("slow", seconds=60)]
    options = ("--config", "/secrets/config.json", "--catalog", "/secrets/catalog.json")
    process = start(image, sandbox, "read", *options, folder=secrets)
    while sandbox.faults[0].times:
        assert process.poll() is None
        time.sleep(0.1)
    listing = ["docker", "ps", "--quiet", "--filter", f"ancestor={image}"]
    (container,) = subprocess.check_output(listing, text=True).split()
    began = time.monotonic()
    subprocess.run(["docker", "kill", f"--signal={signal}", container], check=True)
    process.communicate(timeout=30)
    assert process.returncode == code
    assert time.monotonic() - began < 5


def test_it_is_labelled_and_names_its_entrypoint(image):
    (told,) = json.loads(subprocess.check_output(["docker", "image", "inspect", image]))
    config = told["Config"]
    metadata = yaml.safe_load((ROOT / "metadata.yaml").read_text())["data"]
    assert config["Labels"]["io.airbyte.name"] == metadata["dockerRepository"]
    assert config["Labels"]["io.airbyte.version"] == metadata["dockerImageTag"]
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
    ("words", "key", "kind"),
    [
        (("spec",), None, "SPEC"),
        (("check",), None, "CONNECTION_STATUS"),
        (("discover",), None, "CATALOG"),
        (("read", "--catalog"), None, "RECORD"),
        (("read", "--catalog"), "wrong", "TRACE"),
    ],
)
def test_the_connector_does_without_what_the_image_leaves_out(sandbox, secrets, words, key, kind):
    requirements = (ROOT / "requirements.txt").read_text()
    left_out = re.findall("--no-emit-package ([a-z-]+)", requirements)
    assert {"pandas", "numpy", "grpcio"} <= set(left_out)
    words += (str(secrets / "catalog.json"),) if "--catalog" in words else ()
    config = secrets / ("wrong.json" if key else "config.json")
    options = () if words == ("spec",) else ("--config", str(config))
    done = subprocess.run(
        [sys.executable, "-c", BLOCKED, json.dumps(left_out), *words, *options],
        env={**os.environ, **sandbox.environment}, stdout=subprocess.PIPE, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == (1 if key else 0), done.stdout
    assert kind in {json.loads(line)["type"] for line in done.stdout.splitlines()}
