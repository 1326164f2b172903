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
        (["read"], {"snipcart_api_key": "wrong"}, 1),
        (["check"], None, 2),
    ],
)
def test_output_and_exit_code_are_the_same(sandbox, connector, executable, words, settings, code):
    files = {}
    if settings is not None:
        files["config"] = {**sandbox.config, **settings}
    if words == ["read"]:
        files["catalog"] = catalog("abandoned_carts")
    forked, real = (program.run(*words, **files) for program in (connector, executable))
    assert forked.code == real.code == code
    assert forked.text
    times = r'(?<="emitted_at":)[\d.]+|(?<=")\d{4}-\d\d-\d\dT[\d:]+Z|(?<=in )[\d.]+(?= s)'
    assert re.sub(times, "…", forked.text) == re.sub(times, "…", real.text)


@pytest.mark.parametrize("kind", ["connector", "executable"])
@pytest.mark.parametrize(
    ("number", "code"),
    [(signal.SIGKILL, -9), (signal.SIGTERM, -15), (signal.SIGINT, -2)],
    ids=["SIGKILL", "SIGTERM", "SIGINT"],
)
def test_a_signal_ends_either(request, sandbox, kind, number, code):
    program = request.getfixturevalue(kind)
    sandbox.faults = [Fault("slow", seconds=60)]
    requested = threading.Event()
    sandbox.before = lambda _: requested.set()
    process = program.start("read", config=sandbox.config, catalog=catalog("abandoned_carts"))
    assert requested.wait(30)
    process.send_signal(number)
    process.communicate(timeout=10)
    assert process.returncode == code


def test_a_command_that_takes_too_long_is_killed(sandbox, connector):
    sandbox.faults = [Fault("slow", seconds=60)]
    process = connector.start("check", config=sandbox.config)
    with pytest.raises(TimeoutError):
        process.communicate(timeout=1)
    assert process.returncode == -signal.SIGKILL
