import json
import os
import subprocess
from datetime import datetime

import pytest

from benchmarks.programs import BOTH, PROJECT, bare, connector, low_code, serving, settings_files


@pytest.fixture(scope="module")
def read(tmp_path_factory):
    """What each program reads of 150 carts and three days, by stream."""
    found = {}
    with serving(150) as url:
        settings = settings_files(tmp_path_factory.mktemp("benchmark"), url, BOTH)
        apis = {"SNIPCART_API_URL": f"{url}/api", "RETARGETING_API_URL": f"{url}/v1/partners-api"}
        for name, command in {
            "bare": bare(BOTH, 60),
            "connector": connector("read", *settings),
            "low-code": low_code("read", *settings),
        }.items():
            output = subprocess.run(
                command,
                cwd=PROJECT,
                env={**os.environ, **apis, "URL": url},
                stdout=subprocess.PIPE,
                check=True,
            ).stdout
            records = [
                message["record"]
                for message in map(json.loads, output.splitlines())
                if message["type"] == "RECORD"
            ]
            found[name] = {
                stream: [record["data"] for record in records if record["stream"] == stream]
                for stream in BOTH
            }
    return found


def test_the_programs_that_are_compared_read_the_same_carts(read):
    tokens = [cart["token"] for cart in read["bare"]["abandoned_carts"]]
    assert len(set(tokens)) == 150
    for program in ("connector", "low-code"):
        assert [cart["token"] for cart in read[program]["abandoned_carts"]] == tokens
    sizes = [len(json.dumps(cart, ensure_ascii=False)) for cart in read["bare"]["abandoned_carts"]]
    assert 3_300 < sum(sizes) / 150 < 3_900


def test_the_programs_that_are_compared_read_the_same_windows(read):
    assert len(read["bare"]["cart_stats"]) == 60
    ours = [
        (_epoch(window["date_from"]), _epoch(window["date_to"]), window["abandoned"])
        for window in read["connector"]["cart_stats"]
    ]
    theirs = sorted(
        (window["date_from"], window["date_to"], window["abandoned"])
        for window in read["low-code"]["cart_stats"]
    )
    # The last one ends at the time of the sync; at midnight one more may begin.
    assert ours[:59] == theirs[:59]
    assert {len(ours), len(theirs)} <= {60, 61}


def _epoch(text):
    return datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()
