"""`make probe` finds out what is true of a service, whatever that is, and tells nothing else."""

import json
import os
import re
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from sandbox import Fault, Sandbox, make_carts, make_events
from sandbox.data import FORMS

from .conftest import HERE

ROOT = HERE.parent
CANNOT_TELL = "cannot tell from this account"
THIRTY_DAYS = 30 * 86_400

SIZE = "Snipcart: How many carts are on a page at most?"
ORDER = "Snipcart: In which order do the carts come?"
RANGE = "Snipcart: Which date does timeRange look at?"
FILTERS = "Snipcart: What does a page give that is asked for without its filters?"
TOKEN = "Snipcart: What does an unknown token get?"
ACCEPT = "Snipcart: What does a missing Accept header get?"
LIMITS = "Snipcart: Which headers tell of a rate limit?"
EXACTLY = "Retargeting: Are exactly 30 days allowed?"
EDGES = "Retargeting: Is the second of date_to counted?"


class Account:
    """A sandbox with carts and events of the last months, and the probe of it."""

    def __init__(self, sandbox: Sandbox, folder: Path) -> None:
        self.sandbox = sandbox
        self.config = sandbox.config
        self._path = folder / "config.json"
        now = sandbox.now()
        months = {"first": now - timedelta(days=120), "last": now}
        sandbox.carts = make_carts(2_000, 1, **months)
        sandbox.abandoned, sandbox.recovered = make_events(20_000, 1, **months)

    def probe(self, code: int = 0) -> dict[str, tuple[str, str]]:
        """Give the answers and settings by their questions."""
        self._path.write_text(json.dumps(self.config))
        process = subprocess.run(
            [sys.executable, "-m", "probe", "--config", str(self._path)],
            cwd=ROOT, env={**os.environ, **self.sandbox.environment}, timeout=120,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
        )  # fmt: skip
        self.text = process.stdout
        assert process.returncode == code, self.text
        *lines, last = self.text.splitlines()
        assert last == f"{len(self.sandbox.requests)} requests were made."
        assert len(self.sandbox.requests) <= 40
        self.assert_nothing_is_told()
        found = [line.split(" | ") for line in lines if " | " in line]
        return {question: (answer, setting) for question, answer, setting in found}

    def assert_nothing_is_told(self) -> None:
        secrets = [self.sandbox.snipcart_key, self.sandbox.retargeting_key, "@", "Traceback"]
        for cart in self.sandbox.carts[:500]:
            address = cart.document["billingAddress"]
            secrets += [cart.token, address["name"], address["city"], str(cart.document["total"])]
        assert not [secret for secret in secrets if secret in self.text]


@pytest.fixture
def account(make_sandbox, tmp_path) -> Account:
    return Account(make_sandbox(0), tmp_path)


def test_each_question_is_answered_with_its_setting(account):
    found = account.probe()
    spec = (ROOT / "source_abandoned_carts/spec.yaml").read_text()
    assert len(found) == 22
    for answer, setting in found.values():
        assert answer != CANNOT_TELL
        assert setting == "no setting" or f"    {setting}:" in spec
    assert found[SIZE] == ("500 or more", "snipcart_page_size")
    assert found[ORDER][0] == "in none by date"
    assert found[RANGE] == ("modificationDate: when a cart was last changed",
                            "snipcart_full_scan_hours")  # fmt: skip
    assert "carts that the filters leave out" in found[FILTERS][0]
    assert found[TOKEN][0] == "HTTP 400"
    assert found[ACCEPT][0] == "HTTP 406"
    assert found["Snipcart: What does a wrong key get?"][0] == "HTTP 401"
    assert found[LIMITS][0] == "none"
    assert found[EXACTLY] == ("yes (HTTP 200)", "retargeting_window_days")
    assert found[EDGES][0] == "yes: a window counts both its first and its last second"
    assert found["Retargeting: What does a wrong key get?"][0] == "HTTP 200 and a refusal"


@pytest.mark.parametrize(
    ("changes", "question", "answer"),
    [
        ({"largest_page": 37}, SIZE, "37"),
        ({"largest_page": 100}, SIZE, "100"),
        ({"largest_page": 250}, SIZE, "250"),
        ({"largest_limit": 100}, SIZE, "100 or more, fewer than 500"),
        ({"largest_limit": 70}, SIZE, "50 or more, fewer than 100"),
        ({"order": "created"}, ORDER, "by creationDate, the oldest first"),
        ({"order": "-created"}, ORDER, "by creationDate, the newest first"),
        ({"order": "modified"}, ORDER, "by modificationDate, the oldest first"),
        ({"order": "-modified"}, ORDER, "by modificationDate, the newest first"),
        ({"time_range_by": "created"}, RANGE, "creationDate: when a cart was created"),
        ({"time_range_by": "created", "largest_page": 37}, RANGE,
         "creationDate: when a cart was created"),
        ({"time_range_by": "modified", "largest_page": 37}, RANGE,
         "modificationDate: when a cart was last changed"),
        ({"time_range_by": "created", "order": "-created"}, RANGE,
         "creationDate: when a cart was created"),
        ({"tokens_keep_filters": True}, FILTERS,
         "the same page: a token stands for its filters, too"),
        ({"unknown_token_status": 404}, TOKEN, "HTTP 404"),
        ({"unknown_token_status": 200}, TOKEN, "HTTP 200 and a page"),
        ({"wants_accept": False}, ACCEPT, "HTTP 200 and a page"),
        ({"headers": {"X-RateLimit-Limit": "100", "X-RateLimit-User": "ann"}}, LIMITS,
         "X-RateLimit-Limit: 100, X-RateLimit-User: …"),
        ({"counts_date_to": False}, EDGES,
         "no: of its first and its last second, a window counts one"),
        ({"longest_interval": THIRTY_DAYS - 1}, EXACTLY, "no (HTTP 200)"),
        ({"refusal_status": 422}, "Retargeting: What do more than 30 days get?",
         "HTTP 422 and a refusal"),
    ],
)  # fmt: skip
def test_it_finds_the_truth(account, changes, question, answer):
    for name, value in changes.items():
        assert hasattr(account.sandbox, name)
        setattr(account.sandbox, name, value)
    service = question.split(":")[0].lower()
    other = {"snipcart": "retargeting_rest_key", "retargeting": "snipcart_api_key"}[service]
    del account.config[other]
    assert account.probe()[question][0] == answer


@pytest.mark.parametrize("form", FORMS)
def test_it_tells_the_forms_of_dates_and_not_the_dates(account, form):
    now = account.sandbox.now()
    account.sandbox.carts = make_carts(30, 1, now - timedelta(days=9), now, [form])
    del account.config["retargeting_rest_key"]
    answer, _ = account.probe()["Snipcart: In which forms does creationDate come?"]
    digits = re.search("[0-9]", form)
    expected = {
        "no offset": "ISO with 3 digits and no zone (30)",
        "offset": "ISO with 3 digits and an offset (30)",
        "seconds": "Unix seconds as a number (30)",
        "seconds as text": "Unix seconds as text (30)",
    }.get(form, f"ISO with {digits and digits[0]} digits and Z (30)")
    assert answer == expected


def test_an_account_with_nothing_in_it_cannot_tell(account):
    account.sandbox.carts.clear()
    account.sandbox.abandoned.clear()
    found = account.probe()
    for question in (SIZE, ORDER, RANGE, FILTERS, EDGES):
        assert found[question][0] == CANNOT_TELL
    assert found[TOKEN][0] == "HTTP 400"
    assert found[EXACTLY][0] == "yes (HTTP 200)"


def test_a_small_shop_with_both_keys_stays_within_the_requests(account):
    now = account.sandbox.now()
    months = {"first": now - timedelta(days=120), "last": now}
    account.sandbox.abandoned, account.sandbox.recovered = make_events(10, 1, **months)
    account.sandbox.largest_page = 25
    assert account.probe()[EDGES][0] == CANNOT_TELL
    del account.config["snipcart_api_key"], account.sandbox.requests[:]
    assert account.probe()[EDGES][0].startswith("yes")


def test_a_refused_key_leaves_the_other_service(account):
    account.config["snipcart_api_key"] = "another"
    found = account.probe(code=1)
    assert "Snipcart: no further answers: the request was refused with HTTP 401." in account.text
    assert found[EXACTLY][0] == "yes (HTTP 200)"
    account.config = {**account.sandbox.config, "retargeting_rest_key": "another"}
    del account.sandbox.requests[:]
    found = account.probe(code=1)
    assert "Retargeting: no further answers: the request was refused with" in account.text
    assert found[SIZE][0] == "500 or more"


def test_a_service_that_could_not_answer_is_asked_once_more(account):
    limits = {"Retry-After": "0"}
    account.sandbox.faults = [Fault("status", "snipcart", 2, status=429, headers=limits)]
    assert account.probe(code=1)[EXACTLY][0] == "yes (HTTP 200)"
    assert "Snipcart: no further answers: it asks for fewer requests" in account.text
    account.sandbox.faults = [Fault("status", "snipcart", 1, status=429, headers=limits)]
    del account.sandbox.requests[:]
    assert account.probe()[LIMITS][0] == "Retry-After: 0"


def test_an_answer_that_does_not_come_is_told_without_the_address(account):
    account.sandbox.faults = [Fault("reset", "retargeting", 99)]
    found = account.probe(code=1)
    assert found[SIZE][0] == "500 or more"
    assert "Retargeting: no further answers: ConnectionError." in account.text


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"start_date": "2024-01-01"}, "Neither service has a key"),
        ({}, "“Start date” (start_date) must be filled in"),
        ("{", "it is not JSON at line 1"),
        (None, "No such file"),
    ],
)
def test_settings_that_cannot_work_are_told(tmp_path, config: Any, said):
    path = tmp_path / "config.json"
    if config is not None:
        path.write_text(config if isinstance(config, str) else json.dumps(config))
    command = [sys.executable, "-m", "probe", "--config", str(path)]
    process = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert process.returncode == 1
    assert said in process.stderr
    assert "Traceback" not in process.stderr
