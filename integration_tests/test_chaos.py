"""`make chaos` works. Its own checks tell whether the connector does."""

import subprocess
import sys

import pytest

from .harness import ROOT


@pytest.mark.slow
def test_runs_one_seed():
    command = [sys.executable, "-m", "tools.chaos", "--seed", "4"]
    output = subprocess.check_output(command, cwd=ROOT, text=True, timeout=300)
    assert output.startswith("seed 4: good (")
    assert "Failures:" in output
