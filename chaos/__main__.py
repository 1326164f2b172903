"""`make chaos`: whole syncs on bad days, and what was lost in them, which must be nothing.

Each seed is a sync of 20,000 carts and three years of windows. The services misbehave, the reader
is slow, stops or goes away, the process is killed; what ends before its time is begun again from
its last state. In the end the destination, which keeps nothing that no state covers, must hold what
the services have. `make chaos SEED=17` runs one of them again.
"""

import argparse
import base64
import json
import multiprocessing
import os
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any
from urllib.parse import quote

from sandbox import Sandbox
from sandbox.data import make_events

from .server import Chaos

_PROJECT = Path(__file__).parent.parent
_CARTS = 20_000
_ATTEMPTS = 12  # on bad days; the one after them is a good one
_LONGEST = 120  # seconds of an attempt; all that lasts longer hangs
_KEYS = ('sk+live/4=2&b%41"x\\y', "rest/k+e=y&%2F b")
_DAY = 86_400


@dataclass
class Outcome:
    """What came of one seed."""

    seed: int
    attempts: int = 0
    ended_well: bool = False
    carts_lost: int = 0
    windows_wrong: int = 0
    leaks: list[str] = field(default_factory=list)
    defects: int = 0
    hangs: int = 0
    memory: float = 0  # MB at the peak
    seconds: float = 0
    injected: Counter[str] = field(default_factory=Counter)

    @property
    def good(self) -> bool:
        return self.ended_well and not (
            self.carts_lost or self.windows_wrong or self.leaks or self.defects or self.hangs
        )


class Campaign:
    """One sandbox, for one seed after the other."""

    def __init__(self) -> None:
        sandbox = Sandbox(_CARTS, snipcart_key=_KEYS[0], retargeting_key=_KEYS[1])
        now = datetime.now(timezone.utc)
        self._first_day = (now - timedelta(days=3 * 365)).replace(hour=0, minute=0, second=0)
        sandbox.abandoned, sandbox.recovered = make_events(
            4_000, first=self._first_day, last=now - timedelta(days=1)
        )
        self._server = Chaos(sandbox)

    def run(self, seed: int) -> Outcome:
        """Sync until a sync ends well."""
        chance = random.Random(seed)
        self._server.chance = random.Random(seed)
        outcome = Outcome(seed)
        self._server.injected = outcome.injected
        self._server.stolen = 0
        days = chance.choice([7, 30])
        config = {
            "start_date": self._first_day.strftime("%Y-%m-%d"),
            "snipcart_api_key": _KEYS[0],
            "retargeting_rest_key": _KEYS[1],
            "snipcart_page_size": chance.choice([50, 200, 500]),
            "retargeting_window_days": days,
        }
        bad = chance.choice([0.005, 0.02, 0.1])
        sync = _Sync(config, self._server.url)
        started = time.monotonic()
        with tempfile.TemporaryDirectory() as folder:
            while not outcome.ended_well and outcome.attempts <= _ATTEMPTS:
                good_day = outcome.attempts == _ATTEMPTS
                self._server.share = 0 if good_day else bad
                outcome.attempts += 1
                sync.attempt(Path(folder), None if good_day else chance, outcome)
        outcome.seconds = time.monotonic() - started
        if self._server.stolen:
            outcome.leaks.append("a redirect was followed")
        outcome.carts_lost = self._lost(sync.carts)
        outcome.windows_wrong = self._wrong(sync.windows, days)
        return outcome

    def _lost(self, carts: dict[str, Any]) -> int:
        return sum(
            carts.get(cart.token) != _kept(cart.document) for cart in self._server.sandbox.carts
        )

    def _wrong(self, windows: dict[str, Any], days: int) -> int:
        """Count windows that are missing, too many, or told with another number than the events."""
        start = int(self._first_day.timestamp()) // _DAY * _DAY
        wrong = 0
        left = dict(windows)
        for first in range(start, int(time.time()), days * _DAY):
            found = left.pop(_text(first), None)
            last = first + days * _DAY - 1
            if found and last > time.time():  # the running window ends when it was asked for
                last = min(
                    last, int(datetime.fromisoformat(found["date_to"][:-1] + "+00:00").timestamp())
                )
            counts = [
                sum(first <= moment <= last for moment in moments)
                for moments in (self._server.sandbox.abandoned, self._server.sandbox.recovered)
            ]
            expected = {
                "date_from": _text(first),
                "date_to": _text(last),
                "abandoned": counts[0],
                "recovered": counts[1],
            }
            wrong += found != expected
        return wrong + len(left)


class _Sync:
    """A destination, and the states it has saved; what no state covers is dropped."""

    def __init__(self, config: dict[str, Any], url: str) -> None:
        self.carts: dict[str, Any] = {}
        self.windows: dict[str, Any] = {}
        self._config = config
        self._environment = {
            **os.environ,
            "SNIPCART_API_URL": f"{url}/api",
            "RETARGETING_API_URL": f"{url}/v1/partners-api",
        }
        self._states: dict[str, Any] = {}

    def attempt(self, folder: Path, chance: random.Random | None, outcome: Outcome) -> None:
        """Run the command once; without `chance`, nothing happens to it and its reader."""
        files = {
            "config": self._config,
            "catalog": json.loads(
                (_PROJECT / "integration_tests" / "configured_catalog.json").read_text()
            ),
            "state": list(self._states.values()),
        }
        command = [sys.executable, "-m", "chaos.hurried", "read"]
        for name, content in files.items():
            (folder / name).write_text(json.dumps(content))
            command += [f"--{name}", str(folder / name)]
        with (folder / "errors").open("wb") as errors:
            process = subprocess.Popen(
                command, cwd=_PROJECT, env=self._environment, stdout=subprocess.PIPE, stderr=errors
            )
        hung = threading.Event()
        timers = [threading.Timer(_LONGEST, _end_hung, (process, hung))]
        event, at = "", 0
        if chance:
            event, at = chance.choice([*_EVENTS, "", ""]), chance.randrange(1, _CARTS)
            if event in ("SIGKILL", "SIGTERM"):
                number = getattr(signal, event)
                wait = chance.uniform(0.3, 4)
                timers.append(threading.Timer(wait, _signal, (process, number)))
            outcome.injected.update([event] if event else [])
        for timer in timers:
            timer.start()
        spoken = self._take(process, event, at)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        for timer in timers:
            timer.cancel()
        spoken += (folder / "errors").read_text()
        outcome.hangs += hung.is_set()
        outcome.memory = max(outcome.memory, usage.ru_maxrss / 1024)
        outcome.leaks += [form for form in _FORBIDDEN if form in spoken]
        outcome.ended_well = process.returncode == 0
        outcome.defects += "defect of the connector" in spoken
        if event == "" and not outcome.ended_well:  # then it has to say why
            outcome.defects += '"type":"TRACE"' not in spoken

    def _take(self, process: subprocess.Popen[bytes], event: str, at: int) -> str:
        """Be the destination; give all lines that are not records."""
        pending: dict[str, list[dict[str, Any]]] = {"abandoned_carts": [], "cart_stats": []}
        spoken = []
        assert process.stdout is not None
        for number, line in enumerate(process.stdout):
            if not line.endswith(b"\n"):
                break  # killed within a line
            message = json.loads(line)
            if message["type"] == "RECORD":
                pending[message["record"]["stream"]].append(message["record"]["data"])
            else:
                spoken.append(line.decode())
            if message["type"] == "STATE":
                name = message["state"]["stream"]["stream_descriptor"]["name"]
                self._states[name] = message["state"]
                for record in pending.pop(name):
                    if name == "abandoned_carts":
                        self.carts[record["token"]] = _kept(record)
                    else:
                        self.windows[record["date_from"]] = record
                pending[name] = []
            if event == "slow reader" and number % 100 == 0:
                time.sleep(0.02)
            if event == "blocked reader" and number == at:
                time.sleep(1)
            if event == "closed pipe" and number == at:
                break
        process.stdout.close()
        return "".join(spoken)


def _signal(process: subprocess.Popen[bytes], number: int) -> None:
    # Not by Popen, which would take the exit code of a process that has just ended.
    with suppress(ProcessLookupError):
        os.kill(process.pid, number)


def _end_hung(process: subprocess.Popen[bytes], hung: threading.Event) -> None:
    hung.set()
    _signal(process, signal.SIGKILL)


_EVENTS = ("SIGKILL", "SIGTERM", "slow reader", "blocked reader", "closed pipe")


def _forms(key: str) -> set[str]:
    encoded = {base64.b64encode(text.encode()).decode() for text in (key, f"{key}:")}
    found = {key, quote(key), quote(key, safe=""), *encoded}
    return found | {json.dumps(form)[1:-1] for form in found}


_FORBIDDEN = sorted(set().union(*map(_forms, _KEYS)) | {"@shop.example", "Rue Saint-Joseph"})


def _kept(cart: dict[str, Any]) -> Any:
    """What of a cart is compared."""
    return [cart["email"], cart["total"], cart["currency"], [item["id"] for item in cart["items"]]]


def _text(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, timezone.utc).isoformat()[:19] + "Z"


_campaign: Campaign | None = None


def _run(seed: int) -> Outcome:
    global _campaign  # noqa: PLW0603
    _campaign = _campaign or Campaign()
    return _campaign.run(seed)


def main() -> None:
    """Run the seeds, two at a time, and print what came of them."""
    parser = argparse.ArgumentParser(prog="make chaos")
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--seed", type=int, help="run this one alone")
    arguments = parser.parse_args()
    seeds = range(1, arguments.runs + 1) if arguments.seed is None else [arguments.seed]
    outcomes = []
    with multiprocessing.Pool(min(2, len(seeds))) as pool:
        for outcome in pool.imap_unordered(_run, seeds):
            outcomes.append(outcome)
            if not outcome.good or arguments.seed:
                print(f"seed {outcome.seed}: {outcome}", flush=True)
            elif len(outcomes) % 10 == 0:
                print(f"{len(outcomes)} of {len(seeds)} done", flush=True)
    injected = sum((outcome.injected for outcome in outcomes), Counter[str]())
    table = {
        "syncs": len(outcomes),
        "ended well": sum(outcome.ended_well for outcome in outcomes),
        "attempts": sum(outcome.attempts for outcome in outcomes),
        "faults": sum(injected.values()),
        **{f"  {name}": number for name, number in sorted(injected.items())},
        "carts lost": sum(outcome.carts_lost for outcome in outcomes),
        "windows lost, wrong or extra": sum(outcome.windows_wrong for outcome in outcomes),
        "keys or customers' data in logs": sum(len(outcome.leaks) for outcome in outcomes),
        "defects": sum(outcome.defects for outcome in outcomes),
        "hangs": sum(outcome.hangs for outcome in outcomes),
        "peak memory, MB (median)": round(statistics.median(o.memory for o in outcomes)),
        "peak memory, MB (largest)": round(max(outcome.memory for outcome in outcomes)),
        "longest sync, s": round(max(outcome.seconds for outcome in outcomes)),
    }
    for name, number in table.items():
        print(f"{name:34}{number:>10,}")
    failed = [outcome.seed for outcome in outcomes if not outcome.good]
    sys.exit(f"Failed, each to be run again with make chaos SEED=…: {failed}" if failed else 0)


if __name__ == "__main__":
    main()
