"""Airbyte's own standard tests, by its own command, in a checkout of the name that they go by."""

import json
import os
import re
import shutil
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

from .conftest import HERE

FILES = (
    "acceptance-test-config.yml",
    "pyproject.toml",
    "metadata.yaml",
    "icon.svg",
    "Dockerfile",
    "setup.py",
)


def test_airbytes_standard_tests_pass(sandbox, tmp_path: Path):
    checkout = tmp_path / "source-abandoned-carts"
    shutil.copytree(HERE, checkout / "integration_tests", ignore=lambda *_: ["__pycache__"])
    for name in FILES:
        shutil.copy(HERE.parent / name, checkout)
    shutil.copytree(HERE.parent / "source_abandoned_carts", checkout / "source_abandoned_carts")
    (checkout / "secrets").mkdir()
    (checkout / "secrets/config.json").write_text(json.dumps(sandbox.config))
    # Where Airbyte's registry cannot be reached, a standard test warns, and must not fail.
    warning = checkout / "test_warning.py"
    warning.write_text("import warnings\n\ndef test_warning():\n    warnings.warn('no registry')\n")
    # Those of the image build one by a Dockerfile of Airbyte's own, which they fetch; test_image.py
    # has ours.
    options = [
        "-m", "not image_tests",
        "-W", "error::airbyte_cdk.test.standard_tests._catalog_checks.DiscoveredCatalogWarning",
        str(warning),
    ]  # fmt: skip
    done = subprocess.run(
        [Path(sys.executable).parent / "airbyte-cdk", "connector", "test", "./",
         *(f"--pytest-arg={option}" for option in options)],
        cwd=checkout, env={**os.environ, **sandbox.environment}, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    assert re.search(r"=+ 8 passed", done.stdout), done.stdout


def test_the_state_of_the_future_is_written_like_a_real_one(sandbox, connector):
    """Airbyte's older acceptance tests compare them, character class by character class."""
    sandbox.carts[0].touch(
        sandbox.now() - timedelta(hours=1), "iso3"
    )  # as Snipcart's document has it
    future = json.loads((HERE / "abnormal_state.json").read_text())
    output = connector.read(sandbox.config, "abandoned_carts", "cart_stats")
    for message in future:
        stream = message["stream"]["stream_descriptor"]["name"]
        saved = output.states(stream)[-1]
        told = message["stream"]["stream_state"]
        classes = [
            {key: re.sub("[0-9]", "9", str(state[key])) for key in told} for state in (saved, told)
        ]
        assert classes[0] == classes[1]
