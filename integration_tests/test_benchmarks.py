"""The programs that the benchmark compares read the same data, and each benchmark works."""

import json
import os
import subprocess
import sys
from datetime import datetime

import pytest

from tools.benchmarks import __main__ as bench
from tools.benchmarks import load
from tools.benchmarks.programs import BOTH, bare, connector, low_code, serving, settings_files
from tools.processes import PROJECT, api_variables

from .harness import CARTS, STATS


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


@pytest.mark.slow
def test_bench_measures_and_writes_its_page(tmp_path, monkeypatch, capsys):
    carts = dict.fromkeys(("_CART_COUNT", "_CPU_COUNT", "_FEW", "_MANY", "_CARTS_OF_BOTH"), 100)
    rounds = {"_ROUNDS": 1, "_ROUNDS_OF_BOTH": 1}
    for name, number in {**carts, **rounds, "_WINDOWS": 60, "_DELAY": 0.01}.items():
        monkeypatch.setattr(bench, name, number)
    # Low-code is slow, and another test runs it. This takes its place.
    lines = [sys.executable, "-c", r"print('\n' * 200)"]
    monkeypatch.setattr(bench, "low_code", lambda *arguments: lines)
    monkeypatch.setattr(bench, "_RESULTS", tmp_path / "RESULTS.md")
    monkeypatch.setattr(bench, "_PICTURE", tmp_path / "results.png")
    bench.main()
    page = (tmp_path / "RESULTS.md").read_text()
    assert capsys.readouterr().out == f"{page}\n"
    assert [len(line.split(" | ")) for line in page.splitlines() if " goal |" in line] == [6]
    assert "| CPU per cart, 50 carts per page | bare loop: " in page
    assert (tmp_path / "results.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.slow
def test_load_reads_and_syncs(monkeypatch, capsys):
    for name, number in {"_CART_COUNT": 60, "_GONE": 10, "_DAYS": 60, "_SYNCS": [(60, 60)]}.items():
        monkeypatch.setattr(load, name, number)
    load.main()
    output = capsys.readouterr().out
    assert "  60 records of abandoned_carts\n  60 records of cart_stats\n" in output
    assert "  10 records of departed_carts\n" in output
    assert "  60 rows, 60 keys in abandoned_carts\n  60 rows, 60 keys in cart_stats\n" in output
