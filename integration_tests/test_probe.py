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

from .conftest import ROOT

NOW, DAY = int(time.time()), 86_400
SAMPLES = make_carts(6)
DATES = (None, "0001-01-01T00:00:00", "call Ada", 10**12, "1579715005", "2020-01-22 13:36:45.1Z")
for cart, date in zip(SAMPLES, DATES, strict=True):
    cart.document["creationDate"] = date
BEHAVIOURS = {  # how the sandbox behaves, and texts that the probe then prints
    "as in the documents": ({}, """at most? | 500, the connector's greatest limit | snipcart_page_s
        return carts? | by neither creationDate nor modificationDate | snipcart_full_scan_hours
        timeRange filter on? | modificationDate | snipcart_full_scan_hours
        the filters? | no, without them the next page has carts that they exclude | snipcart_minimal
        unknown continuation token? | HTTP 400 | no setting
        exactly 30 days? | yes | retargeting_window_days
        date_to? | yes | retargeting_window_days"""),
    "otherwise": ({
        "largest_page": 37, "order": "created", "time_range_by": "created",
        "tokens_keep_filters": True, "unknown_token_status": 200, "counts_date_to": False,
        "headers": {"X-RateLimit-Limit": "9", "X-Throttle": "é", "RateLimit": "limit=9;w=1"},
        "longest_interval": 30 * DAY - 1}, """at most? | 37, also for limit=50 |
        return carts? | by creationDate, oldest first |
        timeRange filter on? | creationDate |
        the filters? | yes |
        unknown continuation token? | a page of carts |
        return? | X-RateLimit-Limit: 9, X-Throttle: (not shown), RateLimit: limit=9;w=1 |
        exactly 30 days? | no (HTTP 200) |
        date_to? | no, only one of them |"""),
    "limits fail": ({"largest_limit": 100}, "at most? | 100, because limit=200 failed |"),
    "empty account": ({"carts": [], "abandoned": []}, "\n".join(f"{end}? | cannot tell" for end
        in ("at most", "return carts", "creationDate", "filter on", "the filters", "date_to"))),
    "few events": ({"largest_page": 25, "order": "-created", "abandoned": [NOW - 20 * DAY]},
        "newest first |\nfilter on? | modificationDate |\ntoo few requests were left |\nmade: 40"),
    "few events alone": ({"snipcart_key": "", "abandoned": [NOW - 20 * DAY]}, "date_to? | yes |"),
    "date formats": ({"carts": SAMPLES}, 'creationDate? | null (1), 0001-01-01 (1), another format '
        '(1), ############# (not readable) (1), "##########" (1), "####-##-## ##:##:##.#Z" (1) |'),
    "inactive": ({"account_active": False}, "no further answers: Retargeting refused the request"),
    "failures": ({"faults": [Fault("status", "retargeting", 2, 503),
        Fault("reset", times=2, when=lambda request: "LessThanAMonth" in request.query.values()),
        Fault("status", "snipcart", 2, 429, {"Retry-After": "7"},
              when=lambda request: "unknown" in request.query.values()),
        ]}, """filter on? | no answer: Snipcart could not be reached
        Snipcart: no further answers: Snipcart limits the rate of requests (HTTP 429
        rate-limit headers does the service return? | Retry-After: 7 |
        Retargeting: no further answers: Retargeting failed to process the request (HTTP 503"""),
}  # fmt: skip


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


def probe(account, folder, capsys, behaviour, expected):
    """Run the probe in this process. Check the expected texts and what is true for each run."""
    vars(account).update(behaviour)
    (folder / "config.json").write_text(json.dumps(account.config))
    with pytest.raises(SystemExit) as end:
        main(["--config", str(folder / "config.json")])
    text = capsys.readouterr().out
    assert not [line for line in expected.split("\n") if line.strip() not in text], text
    assert end.value.code == ("no further answers" in text)
    names = {cart.document["billingAddress"]["name"] for cart in account.carts}
    # The sandbox's keys begin with "sandbox".
    assert not [private for private in ("@", "sandbox", *names) if private in text]
    assert text.endswith(f"\nRequests made: {len(account.requests)}\n")


@pytest.mark.parametrize("behaviour", BEHAVIOURS)
def test_reports_how_the_services_behave(account, tmp_path, capsys, behaviour):
    probe(account, tmp_path, capsys, *BEHAVIOURS[behaviour])


def test_short_pages_and_changes_are_not_misread(account, tmp_path, capsys):
    for index, cart in enumerate(account.carts):
        cart.document["total"] = 20.01 if index % 20 else 10.01

    def change(request):
        account.largest_page = 95 - len(account.requests)  # pages are short by chance
        del account.carts[:5]  # customers buy their carts
        if len(account.requests) == 28:
            del account.abandoned[::2]  # customers come back

    expected = "at most? | at least 93 |\nfilter on? | modificationDate |\n"
    expected += "the filters? | cannot tell\ndate_to? | cannot tell"
    probe(account, tmp_path, capsys, {"before": change}, expected)


def test_ends_without_a_traceback(account, tmp_path):
    path = tmp_path / "config.json"
    with pytest.raises(SystemExit, match=r"No such file .*config\.json"):
        main(["--config", str(path)])
    path.write_text(json.dumps(account.config))
    command = [sys.executable, "-m", "tools.probe", "--config", str(path)]
    process = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True)
    account.before = lambda request: process.send_signal(signal.SIGINT)  # as Ctrl-C does
    assert process.communicate(timeout=120) == (None, "")
    assert process.returncode == -signal.SIGINT
