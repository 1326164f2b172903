"""`make probe` reports how a service behaves, and prints no keys and no customers' data."""

import json
import signal
import subprocess
import sys
import time
from datetime import timedelta

import pytest

from tools.probe.__main__ import main
from tools.sandbox import Fault, make_carts, make_events

from .harness import ROOT

NOW, DAY = int(time.time()), 86_400

PAGE_SIZE = "How many carts does Snipcart return per page?"
ORDER = "In which order does Snipcart return carts?"
CREATION_DATE = "In which formats does Snipcart return creationDate?"
TIME_RANGE = "Which date does timeRange filter on?"
FILTERS = "Does a continuation token keep the filters?"
UNKNOWN_TOKEN = "What does Snipcart return for an unknown continuation token?"
RATE_LIMIT = "Which rate-limit headers does Snipcart return?"
THIRTY_DAYS = "Does Retargeting accept exactly 30 days?"
EDGES = "Does Retargeting count the seconds of both date_from and date_to?"
FURTHER = "All further questions about Snipcart"
FURTHER_STATS = "All further questions about Retargeting"


def is_resumed(request):
    return request.query.get("continuationToken") == "unknown"


SERVICES_FAIL = [
    Fault("status", "retargeting", 2, 503),
    Fault("reset", times=2, when=lambda r: r.query.get("timeRange") == "LessThanAMonth"),
    Fault("status", "snipcart", 2, 429, {"Retry-After": "7"}, when=is_resumed),
]
ANSWERS = {  # how the sandbox differs from its documentation, and the answers
    "as documented": (
        {},
        {
            PAGE_SIZE: "500 or more",
            ORDER: "by neither creationDate nor modificationDate",
            TIME_RANGE: "modificationDate",
            FILTERS: "no: without them the next page has carts that they exclude",
            UNKNOWN_TOKEN: "HTTP 400",
            RATE_LIMIT: "none",
            THIRTY_DAYS: "yes",
            EDGES: "yes",
        },
    ),
    "small pages in order": (
        {"largest_page": 37, "order": "created"},
        {PAGE_SIZE: "at most 37, also if 50 are requested", ORDER: "by creationDate, oldest first"},
    ),
    "other tokens": (
        {"tokens_keep_filters": True, "unknown_token_status": 200},
        {FILTERS: "yes", UNKNOWN_TOKEN: "a page of carts"},
    ),
    "other dates": (
        {"time_range_by": "created", "order": "-created"},
        {ORDER: "by creationDate, newest first", TIME_RANGE: "creationDate"},
    ),
    "other windows": (
        {"counts_date_to": False, "longest_interval": 30 * DAY - 1},
        {THIRTY_DAYS: "no (HTTP 200), but it accepts one second less", EDGES: "only one of them"},
    ),
    "rate limits": (
        {"headers": {"X-RateLimit-Limit": "9", "X-Throttle": "é"}},
        {RATE_LIMIT: "X-RateLimit-Limit: 9, X-Throttle: (not shown)"},
    ),
    "limits fail": ({"largest_limit": 100}, {PAGE_SIZE: "at most 100: a request for 200 failed"}),
    "empty account": (
        {"carts": [], "abandoned": []},
        {
            PAGE_SIZE: "cannot tell: all carts fit on one page",
            ORDER: "cannot tell: fewer than 10 carts differ in their creationDate",
            CREATION_DATE: "cannot tell: there are no carts",
            TIME_RANGE: "cannot tell: too few carts were created before a time range and changed "
            "within it",
            FILTERS: "cannot tell: too few carts differ in their total",
            EDGES: "cannot tell: no cart was abandoned in the 30 days examined",
        },
    ),
    "few events": (
        {"largest_page": 25, "order": "-created", "abandoned": [NOW - 20 * DAY]},
        {EDGES: "cannot tell: the 40 requests were used up"},
    ),
    "few events alone": ({"snipcart_key": "", "abandoned": [NOW - 20 * DAY]}, {EDGES: "yes"}),
    "inactive": (
        {"account_active": False},
        {FURTHER_STATS: "no answer: Retargeting refused the request (HTTP 200"},
    ),
    "failures": (
        {"faults": SERVICES_FAIL},
        {
            TIME_RANGE: "no answer: Snipcart could not be reached",
            FURTHER: "no answer: Snipcart limits the rate of requests (HTTP 429",
            FURTHER_STATS: "no answer: Retargeting failed to process the request (HTTP 503",
            RATE_LIMIT: "Retry-After: 7",
        },
    ),
}
WHAT_TO_DO = [  # how the sandbox behaves, a question, and what its answer makes somebody do
    ({}, TIME_RANGE, "Set snipcart_full_scan_hours to 24 for hourly syncs, or to 160 for daily"),
    ({"time_range_by": "created"}, TIME_RANGE, "Leave snipcart_full_scan_hours at 0."),
    ({"largest_limit": 100}, PAGE_SIZE, "Set snipcart_page_size to 100."),
    (
        {"counts_date_to": False},
        EDGES,
        "One second is lost in each window. Keep retargeting_window_days",
    ),
    ({"account_active": False}, FURTHER_STATS, "Follow the message, and run make probe again."),
]


@pytest.fixture
def account(make_sandbox, monkeypatch):
    """A sandbox with carts and events of some months. Sleeping is turned off."""
    sandbox = make_sandbox(0)
    for name, value in sandbox.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(time, "sleep", lambda seconds: None)
    months = {"first": sandbox.now() - timedelta(days=120), "last": sandbox.now()}
    sandbox.carts = make_carts(1_500, **months)
    for cart in sandbox.carts[::2]:
        cart.touch(sandbox.now() - timedelta(hours=5))
    sandbox.abandoned, _ = make_events(10_000, **months)
    return sandbox


@pytest.fixture
def probe(account, tmp_path, capsys, monkeypatch):
    """Return a function that runs the probe in this process and returns its rows by question."""
    monkeypatch.setenv("COLUMNS", "1000")  # so that each row is one line

    def run(**behaviour):
        vars(account).update(behaviour)
        (tmp_path / "config.json").write_text(json.dumps(account.config))
        with pytest.raises(SystemExit) as end:
            main(["--config", str(tmp_path / "config.json")])
        text = capsys.readouterr().out
        assert_discloses_nothing(text, account)
        assert text.endswith(f"\nRequests made: {len(account.requests)}\n")
        rows = [
            [cell.strip() for cell in line.strip("│").split("│")]
            for line in text.splitlines()
            if line.startswith("│")
        ]
        answers = {question: (answer, what_to_do) for question, answer, what_to_do in rows}
        assert end.value.code == (FURTHER in answers or FURTHER_STATS in answers)
        return answers

    return run


def assert_discloses_nothing(text, account):
    names = {cart.document["billingAddress"]["name"] for cart in account.carts}
    # The sandbox's keys begin with "sandbox".
    assert not [private for private in ("@", "sandbox", *names) if private in text]


@pytest.mark.parametrize("behaviour", ANSWERS)
def test_answers_tell_how_the_services_behave(probe, behaviour):
    differences, expected = ANSWERS[behaviour]
    answers = probe(**differences)
    found = {question: answers[question][0] for question in expected}
    # Error messages continue with what the connector's tests check.
    assert {q: text[: len(expected[q])] for q, text in found.items()} == expected


@pytest.mark.parametrize(("differences", "question", "expected"), WHAT_TO_DO)
def test_says_what_to_set_or_do(probe, differences, question, expected):
    answers = probe(**differences)
    assert answers[question][1].startswith(expected)
    assert all(what_to_do for _, what_to_do in answers.values())


def test_shows_formats_of_dates_without_their_digits(probe):
    carts = make_carts(6)
    dates = None, "0001-01-01T00:00:00", "call Ada", 10**12, "1579715005", "2020-01-22 13:36:45.1Z"
    for cart, date in zip(carts, dates, strict=True):
        cart.document["creationDate"] = date
    formats, what_to_do = probe(carts=carts)[CREATION_DATE]
    assert formats.split(", ") == [
        "null (1)",
        "0001-01-01 (1)",
        "text that is not readable (1)",
        "############# not readable (1)",
        '"##########" (1)',
        '"####-##-## ##:##:##.#Z" (1)',
    ]
    assert what_to_do.startswith("The connector emits null for a date that is not readable.")


def test_short_pages_and_changes_are_not_misread(account, probe):
    for index, cart in enumerate(account.carts):
        cart.document["total"] = 20.01 if index % 20 else 10.01

    def change(request):
        account.largest_page = 95 - len(account.requests)  # pages are short by chance
        del account.carts[:5]  # customers buy their carts
        if len(account.requests) == 28:
            del account.abandoned[::2]  # customers come back

    answers = {question: answer for question, (answer, _) in probe(before=change).items()}
    assert answers[PAGE_SIZE] == "at least 93"
    assert answers[TIME_RANGE] == "modificationDate"
    assert answers[FILTERS] == "cannot tell: too few carts differ in their total"
    assert answers[EDGES].startswith("cannot tell: ")


def test_ends_without_a_traceback(account, tmp_path):
    path = tmp_path / "config.json"
    with pytest.raises(SystemExit, match=r"config\.json cannot be read: No such file"):
        main(["--config", str(path)])
    path.write_text(json.dumps(account.config))
    command = [sys.executable, "-m", "tools.probe", "--config", str(path)]
    process = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True)
    account.before = lambda request: process.send_signal(signal.SIGINT)  # as Ctrl-C does
    assert process.communicate(timeout=120) == (None, "")
    assert process.returncode == -signal.SIGINT
