"""Airbyte's standard tests, run by its command in a checkout with the name that they expect."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from .harness import ROOT

FILES = (
    "acceptance-test-config.yml",
    "pyproject.toml",
    "metadata.yaml",
    "icon.svg",
    "Dockerfile",
    "setup.py",
)


def test_airbytes_standard_tests_pass(sandbox, tmp_path):
    checkout = tmp_path / "source-abandoned-carts"
    for name in ("integration_tests", "source_abandoned_carts"):
        shutil.copytree(ROOT / name, checkout / name)
    for name in FILES:
        shutil.copy(ROOT / name, checkout)
    (checkout / "secrets").mkdir()
    (checkout / "secrets/config.json").write_text(json.dumps(sandbox.config))
    # If Airbyte's registry cannot be reached, a standard test warns. That must not fail it.
    warning = checkout / "test_warning.py"
    warning.write_text("import warnings\n\ndef test_warning():\n    warnings.warn('no registry')\n")
    # The image tests fetch and build a Dockerfile of Airbyte's. test_image.py tests our own.
    options = [
        "-m",
        "not image_tests",
        "-W",
        "error::airbyte_cdk.test.standard_tests._catalog_checks.DiscoveredCatalogWarning",
        str(warning),
    ]
    command = [Path(sys.executable).parent / "airbyte-cdk", "connector", "test", "./"]
    done = subprocess.run(
        [*command, *(f"--pytest-arg={option}" for option in options)],
        cwd=checkout,
        env={**os.environ, **sandbox.environment},
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    assert re.search(r"=+ 8 passed", done.stdout), done.stdout
