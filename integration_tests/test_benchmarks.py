"""The programs that the benchmark compares read the same data."""

import json
import os
import subprocess
from datetime import datetime

import pytest

from tools.benchmarks.programs import BOTH, bare, connector, low_code, serving, settings_files
from tools.processes import PROJECT, api_variables

from .conftest import CARTS, STATS


@pytest.fixture(scope="module")
def read(tmp_path_factory):
    """Return what each program reads from 150 carts and 60 days, by stream."""
    found = {}
    with serving(150) as url:
        settings = settings_files(tmp_path_factory.mktemp("benchmark"), url, BOTH)
        environment = {**os.environ, **api_variables(url)}
        for name, command in {
            "bare": bare(20, 60),
            "connector": connector("read", *settings),
            "low-code": low_code("read", *settings),
        }.items():
            output = subprocess.check_output(command, cwd=PROJECT, env=environment)
            found[name] = {stream: [] for stream in BOTH}
            for message in map(json.loads, output.splitlines()):
                if message["type"] == "RECORD":
                    found[name][message["record"]["stream"]].append(message["record"]["data"])
    return found


def test_programs_read_the_same_carts(read):
    carts = {name: streams[CARTS] for name, streams in read.items()}
    tokens = [cart["token"] for cart in carts["bare"]]
    assert len(set(tokens)) == 150
    for program in ("connector", "low-code"):
        assert [cart["token"] for cart in carts[program]] == tokens
    sizes = [len(json.dumps(cart, ensure_ascii=False)) for cart in carts["bare"]]
    assert 3_300 < sum(sizes) / 150 < 3_900


def test_programs_read_the_same_windows(read):
    assert len(read["bare"][STATS]) == 60
    windows = {
        name: sorted(
            (_epoch(window["date_from"]), _epoch(window["date_to"]), window["abandoned"])
            for window in read[name][STATS]
        )
        for name in ("connector", "low-code")
    }
    # The last window ends at the time of the sync, and at midnight another one can begin.
    assert windows["connector"][:59] == windows["low-code"][:59]
    assert {len(found) for found in windows.values()} <= {60, 61}


def _epoch(date):
    return (
        date if isinstance(date, int) else datetime.fromisoformat(date[:19] + "+00:00").timestamp()
    )
