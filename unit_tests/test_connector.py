"""How the sync reads the connector's output. A script stands for the connector."""

import os
import sys

import pytest

from sync import connector
from sync.connector import Connector

RECORD = '{"type": "RECORD", "record": {"stream": "s", "data": {}}}'


@pytest.fixture
def read(tmp_path, monkeypatch):
    """Return a function that reads what a script prints: the messages and the problems."""

    def read(script):
        (tmp_path / "script.py").write_text(f"import sys\n{script}")
        command = tmp_path / "connector"  # a path with a space would not work after #!
        command.write_text(f"#!/bin/sh\nexec '{sys.executable}' '{tmp_path}/script.py'")
        command.chmod(0o755)
        monkeypatch.setattr(connector, "_COMMAND", command)
        found = Connector(tmp_path / "config.json", tmp_path, warnings.append)
        with found.reading([]) as read_from:
            return [message for message, _ in read_from([])], found.problems

    warnings = []
    return read


def test_reads_the_records_before_a_line_that_is_not_a_message(read, capfd):
    endless = "while True: print('s3cret' * 1000)"
    messages, problems = read(f"print('{RECORD}')\n{endless}")
    assert len(messages) == 1
    assert len(problems) == 1
    assert "a line that is not a message" in problems[0]
    assert "s3cret" not in problems[0] + "".join(capfd.readouterr())


def test_ignores_a_last_line_that_was_cut(read):
    messages, problems = read(f"print('{RECORD}'); print('{RECORD[:9]}', end=''); sys.exit(3)")
    assert len(messages) == 1
    assert "(exit code 3)" in problems[0]


def test_shows_nothing_of_standard_error(read, capfd):
    read("print('Traceback: s3cret', file=sys.stderr)")
    assert "s3cret" not in "".join(capfd.readouterr())


def test_starts_the_connector_in_utf_8(read, monkeypatch):
    monkeypatch.setitem(os.environ, "PYTHONIOENCODING", "latin-1")
    messages, problems = read('print(\'{"type": "RECORD", "record": "山"}\')')
    assert [message["record"] for message in messages] == ["山"]
    assert problems == []
