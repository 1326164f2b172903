"""A forked command is as good as the real executable: what the other tests rely on."""

import re
import signal
import threading

import pytest

from sandbox import Fault

from .conftest import catalog


@pytest.mark.parametrize(
    ("words", "settings", "code"),
    [
        (["spec"], None, 0),
        (["read"], {}, 0),
        (["read"], {"start_date": 1}, 1),
        (["check"], None, 2),
    ],
)
def test_output_and_exit_code_are_the_same(sandbox, connector, executable, words, settings, code):
    files = {}
    if settings is not None:
        files = {"config": {**sandbox.config, **settings}, "catalog": catalog("abandoned_carts")}
    forked, real = (program.run(*words, **files) for program in (connector, executable))
    assert forked.code == real.code == code
    assert forked.text
    times = r'(?<="emitted_at":)[\d.]+|(?<=")\d{4}-\d\d-\d\dT[\d:]+Z'
    assert re.sub(times, "…", forked.text) == re.sub(times, "…", real.text)


@pytest.mark.parametrize("kind", ["connector", "executable"])
@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, -15), (signal.SIGINT, -2)])
def test_a_signal_ends_either(request, sandbox, kind, number, code):
    program = request.getfixturevalue(kind)
    sandbox.faults = [Fault("slow", seconds=60)]
    requested = threading.Event()
    sandbox.before = lambda _: requested.set()
    process = program.start("read", config=sandbox.config, catalog=catalog("abandoned_carts"))
    assert requested.wait(30)
    process.send_signal(number)
    process.communicate(timeout=30)
    assert process.returncode == code
