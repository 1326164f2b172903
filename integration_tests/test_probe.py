"""`make probe` finds out what is true of a service, whatever that is, and tells nothing else."""

import itertools
import json
import os
import signal
import subprocess
import sys
import time
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
EDGES = "Retargeting: Is the second of date_to counted, and that of date_from?"


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
        process = self.start()
        self.text, _ = process.communicate(timeout=120)
        assert process.returncode == code, self.text
        *lines, last = self.text.splitlines()
        assert last == f"Requests made: {len(self.sandbox.requests)}"
        assert len(self.sandbox.requests) <= 40
        self.assert_nothing_is_told()
        rows = [line.split(" | ") for line in lines if " | " in line]
        self.found = {question: (answer, setting) for question, answer, setting in rows}
        return self.found

    def start(self) -> subprocess.Popen[str]:
        self._path.write_text(json.dumps(self.config))
        return subprocess.Popen(
            [sys.executable, "-m", "probe", "--config", str(self._path)],
            cwd=ROOT, env={**os.environ, **self.sandbox.environment},
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip

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
    assert found[ORDER][0] == "not in order of creationDate or modificationDate"
    assert found[RANGE] == ("modificationDate", "snipcart_full_scan_hours")
    assert "carts that the filters leave out" in found[FILTERS][0]
    assert found[TOKEN][0] == "HTTP 400"
    assert found[ACCEPT][0] == "HTTP 406"
    assert found["Snipcart: What does a wrong key get?"][0] == "HTTP 401"
    assert found[LIMITS][0] == "none"
    assert found[EXACTLY] == ("yes (HTTP 200)", "retargeting_window_days")
    assert found[EDGES][0] == "yes, both"
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
        ({"time_range_by": "created"}, RANGE, "creationDate"),
        ({"time_range_by": "created", "largest_page": 37}, RANGE, "creationDate"),
        ({"time_range_by": "modified", "largest_page": 37}, RANGE, "modificationDate"),
        ({"time_range_by": "created", "order": "-created"}, RANGE, "creationDate"),
        ({"time_range_by": "created", "clock_offset": -2 * 86_400}, RANGE, "creationDate"),
        ({"tokens_keep_filters": True}, FILTERS,
         "the same page: a token stands for its filters, too"),
        ({"unknown_token_status": 404}, TOKEN, "HTTP 404"),
        ({"unknown_token_status": 200}, TOKEN, "HTTP 200 and a page"),
        ({"wants_accept": False}, ACCEPT, "HTTP 200 and a page"),
        ({"headers": {"X-RateLimit-Limit": "100", "X-RateLimit-Account": "4815162342",
                      "RateLimit": "limit=100, reset=30", "X-Throttle-Used": "é"}}, LIMITS,
         "X-RateLimit-Limit: 100, X-RateLimit-Account: (not shown), "
         "RateLimit: limit=100, reset=30, X-Throttle-Used: (not shown)"),
        ({"counts_date_to": False}, EDGES, "no, only one of the two"),
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
    day = "YYYY-MM-DDThh:mm:ss"
    assert (
        answer
        == {
            "iso0": f"{day}Z (30)",
            "iso2": f"{day}.ssZ (30)",
            "iso3": f"{day}.sssZ (30)",
            "iso7": f"{day}.sssssssZ (30)",
            "no offset": f"{day}.sss (30)",
            "offset": f"{day}.sss+hh:mm (30)",
            "seconds": "Unix seconds, a number (30)",
            "seconds as text": "Unix seconds, a text (30)",
        }[form]
    )


@pytest.mark.parametrize("date", ["modified", "created"])
def test_carts_that_are_bought_meanwhile_mislead_nobody(account, date):
    account.sandbox.time_range_by = date
    del account.config["retargeting_rest_key"]

    def buy(request: Any) -> None:
        del account.sandbox.carts[:5]

    account.sandbox.before = buy
    expected = {"modified": "modificationDate", "created": "creationDate"}[date]
    assert account.probe()[RANGE][0] in (expected, CANNOT_TELL)


def test_carts_of_a_few_prices_mislead_nobody(account):
    for index, cart in enumerate(account.sandbox.carts):
        cart.document["total"] = 20.01 if index % 20 else 10.01
    del account.config["retargeting_rest_key"]
    assert account.probe()[FILTERS][0] == CANNOT_TELL


def test_pages_that_are_short_by_chance_mislead_nobody(account):
    del account.config["retargeting_rest_key"]

    def shorten(request: Any) -> None:
        account.sandbox.largest_page = 95 - len(account.sandbox.requests)

    account.sandbox.before = shorten
    assert account.probe()[SIZE][0] == "92 or more"


def test_unordered_carts_of_a_small_shop_are_in_no_order(account):
    account.sandbox.order = "created"
    del account.sandbox.carts[6:], account.config["retargeting_rest_key"]
    assert account.probe()[ORDER][0] == CANNOT_TELL


@pytest.mark.parametrize("counts_date_to", [True, False])
def test_carts_abandoned_in_a_heap_tell_as_well(account, counts_date_to):
    account.sandbox.counts_date_to = counts_date_to
    noon = int(account.sandbox.now().timestamp()) - 20 * 86_400
    account.sandbox.abandoned = [noon + 7 * index for index in range(1000)]
    del account.config["snipcart_api_key"]
    expected = "yes, both" if counts_date_to else "no, only one of the two"
    assert account.probe()[EDGES][0] == expected


@pytest.mark.parametrize("at", [8, 14, 20])
def test_counts_that_change_meanwhile_mislead_nobody(account, at):
    del account.config["snipcart_api_key"]
    month_ago = int(account.sandbox.now().timestamp()) - 40 * 86_400
    later = [moment for moment in sorted(account.sandbox.abandoned) if moment > month_ago]

    def recover(request: Any) -> None:
        if len(account.sandbox.requests) == at:
            account.sandbox.abandoned.remove(later[0])

    account.sandbox.before = recover
    assert account.probe()[EDGES][0] in ("yes, both", CANNOT_TELL)


def test_a_failure_is_no_refusal(account):
    exactly = itertools.count()
    account.sandbox.faults = [
        Fault("status", "retargeting", 2, status=503, when=lambda _: next(exactly) >= 1)
    ]
    assert account.probe()[EXACTLY][0] == CANNOT_TELL


def test_a_question_that_fails_leaves_the_others(account):
    account.sandbox.faults = [
        Fault("reset", when=lambda request: request.query["limit"] == "500"),
        Fault("reset", when=lambda request: request.query.get("continuationToken") == "unknown"),
    ]
    del account.config["retargeting_rest_key"]
    found = account.probe()
    assert found[SIZE][0] == "100 or more, fewer than 500"
    assert found[TOKEN][0] == "no answer came: ConnectionError"
    assert found[ACCEPT][0] == "HTTP 406"


def test_a_page_of_html_is_not_the_accounts_fault(account):
    account.sandbox.faults = [Fault("html", "snipcart", 99)]
    account.probe(code=1)
    assert "Snipcart: no further answers: what came is no list of carts." in account.text


def test_ctrl_c_ends_it_without_a_traceback(account):
    account.sandbox.faults = [Fault("slow", seconds=60)]
    process = account.start()
    while account.sandbox.faults[0].times:
        assert process.poll() is None
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    text, _ = process.communicate(timeout=10)
    assert (process.returncode, text) == (130, "")


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
    assert account.probe()[EDGES][0] == f"{CANNOT_TELL}: too few requests were left"
    del account.config["snipcart_api_key"], account.sandbox.requests[:]
    assert account.probe()[EDGES][0] == "yes, both"


def test_a_refused_key_leaves_the_other_service(account):
    account.config["snipcart_api_key"] = "another"
    found = account.probe(code=1)
    assert "Snipcart: no further answers: the request was refused with HTTP 401." in account.text
    assert found[EXACTLY][0] == "yes (HTTP 200)"
    account.config = {**account.sandbox.config, "retargeting_rest_key": "another"}
    del account.sandbox.requests[:]
    found = account.probe(code=1)
    assert "Retargeting: no further answers: the request got HTTP 200 and a refusal" in account.text
    assert found[SIZE][0] == "500 or more"


def test_a_service_that_could_not_answer_is_asked_once_more(account):
    limits = {"Retry-After": "0"}
    account.sandbox.faults = [Fault("status", "snipcart", 2, status=429, headers=limits)]
    assert account.probe(code=1)[EXACTLY][0] == "yes (HTTP 200)"
    assert "Snipcart: no further answers: it asks for fewer requests" in account.text
    assert account.found[LIMITS][0] == "Retry-After: 0"
    assert account.found["Retargeting: Which headers tell of a rate limit?"][0] == "none"
    account.sandbox.faults = [Fault("status", "snipcart", 1, status=429, headers=limits)]
    del account.sandbox.requests[:]
    assert account.probe()[LIMITS][0] == "Retry-After: 0"


def test_an_answer_that_does_not_come_is_told_without_the_address(account):
    account.sandbox.faults = [Fault("reset", "retargeting", 99)]
    found = account.probe(code=1)
    assert found[SIZE][0] == "500 or more"
    assert "Retargeting: no further answers: ConnectionError." in account.text
    assert EXACTLY not in found


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
