"""`make chaos`: syncs on bad days. They may lose nothing, disclose nothing and never hang.

Each seed is a sync of 10,000 carts, three years of windows and 40 carts that left the list. The
services misbehave, the reader is slow or goes away, and the process is killed. A sync that fails is
started again from its last state. The destination drops records that no state covers, and must hold
in the end what the services have. `make chaos SEED=17` runs one seed again.
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
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import quote

from tools.sandbox import Sandbox
from tools.sandbox.data import make_events

from .server import Chaos

_PROJECT = Path(__file__).parents[2]
_CARTS = 10_000
_DEPARTED = 40  # of the carts; half of them are bought and half deleted
_ATTEMPTS = 12  # on bad days; on the day after them, nothing goes wrong
_LONGEST = 120  # seconds, after which an attempt counts as hanging
_CREDENTIALS = ('sk+live/4=2&b%41"x\\y', "rest/k+e=y&%2F b")
_DAY = 86_400
_PRIMARY_KEYS = {"abandoned_carts": "token", "cart_stats": "date_from", "departed_carts": "token"}
_EVENTS = ("SIGKILL", "SIGTERM", "slow reader", "blocked reader", "closed pipe")


@dataclass
class Outcome:
    """What a seed led to."""

    seed: int
    attempts: int = 0
    succeeded: bool = False
    carts_lost: int = 0
    windows_wrong: int = 0
    departures_wrong: int = 0
    leaks: list[str] = field(default_factory=list)
    defects: int = 0
    hangs: int = 0
    memory: float = 0  # MB at the peak
    seconds: float = 0
    injected: Counter[str] = field(default_factory=Counter)

    @property
    def good(self) -> bool:
        wrong = self.carts_lost + self.windows_wrong + self.departures_wrong
        return self.succeeded and not (wrong or self.leaks or self.defects or self.hangs)


class Campaign:
    """One sandbox, which serves one seed after another."""

    def __init__(self) -> None:
        self._sandbox = Sandbox(
            _CARTS, snipcart_key=_CREDENTIALS[0], retargeting_key=_CREDENTIALS[1]
        )
        now = datetime.now(timezone.utc)
        self._first_day = (now - timedelta(days=3 * 365)).replace(hour=0, minute=0, second=0)
        self._sandbox.abandoned, self._sandbox.recovered = make_events(
            4_000, first=self._first_day, last=now - timedelta(days=1)
        )
        self._server = Chaos(self._sandbox)
        # Without a state, the stream departed_carts only learns which carts there are.
        first = _Sync(self._config(500, 30), self._server.url, {})
        with tempfile.TemporaryDirectory() as folder:
            first.attempt(Path(folder), None, Outcome(0))
        self._states = {"departed_carts": first.states["departed_carts"]}
        known = json.dumps(self._states)
        departed = [cart for cart in self._sandbox.carts if cart.token in known][:_DEPARTED]
        for cart in departed[::2]:
            cart.complete(now)
        for cart in departed[1::2]:
            cart.delete()
        self._departures = {
            cart.token: None if cart.deleted else cart.document["status"] for cart in departed
        }

    def _config(self, page_size: int | None, window_days: int) -> dict[str, Any]:
        config = {
            "start_date": self._first_day.strftime("%Y-%m-%d"),
            "snipcart_api_key": _CREDENTIALS[0],
            "snipcart_departed_carts": True,
            "retargeting_rest_key": _CREDENTIALS[1],
            "retargeting_window_days": window_days,
        }
        return config | ({"snipcart_page_size": page_size} if page_size else {})

    def run(self, seed: int) -> Outcome:
        """Sync until a sync succeeds."""
        chance = random.Random(seed)
        self._server.chance = random.Random(seed)
        outcome = Outcome(seed)
        self._server.injected = outcome.injected
        self._server.redirected = 0
        days = chance.choice([7, 30])
        page_size = chance.choice([None, 50, 200, 500])
        self._sandbox.largest_limit = None if page_size else chance.choice([None, 100, 200])
        bad = chance.choice([0.005, 0.02, 0.1])
        sync = _Sync(self._config(page_size, days), self._server.url, self._states)
        started = time.monotonic()
        with tempfile.TemporaryDirectory() as folder:
            while not outcome.succeeded and outcome.attempts <= _ATTEMPTS:
                good_day = outcome.attempts == _ATTEMPTS
                self._server.share = 0 if good_day else bad
                outcome.attempts += 1
                sync.attempt(Path(folder), None if good_day else chance, outcome)
        outcome.seconds = time.monotonic() - started
        if self._server.redirected:
            outcome.leaks.append("a redirect was followed")
        carts, windows, departures = (sync.tables[name] for name in _PRIMARY_KEYS)
        outcome.carts_lost = sum(
            cart.on_list and carts.get(cart.token) != _compared(cart.document)
            for cart in self._sandbox.carts
        )
        outcome.windows_wrong = self._wrong(windows, days)
        found = {token: record.get("status") for token, record in departures.items()}
        outcome.departures_wrong = len(found.items() ^ self._departures.items())
        return outcome

    def _wrong(self, windows: dict[str, Any], days: int) -> int:
        """Count the windows that are missing, superfluous or not as the events tell."""
        start = int(self._first_day.timestamp()) // _DAY * _DAY
        wrong = 0
        left = dict(windows)
        for first in range(start, int(time.time()), days * _DAY):
            found = left.pop(_text(first), None)
            last = first + days * _DAY - 1
            if found and last > time.time():  # the running window ends when it was requested
                end = datetime.fromisoformat(found["date_to"][:-1] + "+00:00").timestamp()
                last = min(last, int(end))
            abandoned, recovered = (
                sum(first <= moment <= last for moment in moments)
                for moments in (self._sandbox.abandoned, self._sandbox.recovered)
            )
            expected = {"date_from": _text(first), "date_to": _text(last)}
            wrong += found != {**expected, "abandoned": abandoned, "recovered": recovered}
        return wrong + len(left)


class _Sync:
    """A destination and its last states. It drops records that no state covers."""

    def __init__(self, config: dict[str, Any], url: str, states: dict[str, Any]) -> None:
        self.tables: dict[str, dict[str, Any]] = {name: {} for name in _PRIMARY_KEYS}
        self.states = dict(states)
        self._config = config
        self._environment = {
            **os.environ,
            "SNIPCART_API_URL": f"{url}/api",
            "RETARGETING_API_URL": f"{url}/v1/partners-api",
        }

    def attempt(self, folder: Path, chance: random.Random | None, outcome: Outcome) -> None:
        """Run the command once. Without `chance`, nothing happens to it and its reader."""
        modes = {"sync_mode": "incremental", "destination_sync_mode": "append_dedup"}
        stream = {"json_schema": {}, "supported_sync_modes": ["incremental"]}
        catalog = [{"stream": {"name": name, **stream}, **modes} for name in _PRIMARY_KEYS]
        files = {
            "config": self._config,
            "catalog": {"streams": catalog},
            "state": list(self.states.values()),
        }
        command = [sys.executable, "-m", "tools.chaos.hurried", "read"]
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
        logs = self._take(process, event, at)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        for timer in timers:
            timer.cancel()
        logs += (folder / "errors").read_text()
        outcome.hangs += hung.is_set()
        outcome.memory = max(outcome.memory, usage.ru_maxrss / 1024)
        outcome.leaks += [form for form in _FORBIDDEN if form in logs]
        outcome.succeeded = process.returncode == 0
        outcome.defects += "defect in the connector" in logs
        if event == "" and not outcome.succeeded:  # then it must say why
            outcome.defects += '"type":"TRACE"' not in logs

    def _take(self, process: subprocess.Popen[bytes], event: str, at: int) -> str:
        """Store records and states, and return the other lines."""
        pending: dict[str, list[dict[str, Any]]] = {name: [] for name in _PRIMARY_KEYS}
        logs = []
        assert process.stdout is not None
        for number, line in enumerate(process.stdout):
            if not line.endswith(b"\n"):
                break  # killed within a line
            match json.loads(line):
                case {"record": {"stream": name, "data": data}}:
                    pending[name].append(data)
                case {"state": {"stream": {"stream_descriptor": {"name": name}}} as state}:
                    self.states[name] = state
                    for record in pending[name]:
                        kept = _compared(record) if name == "abandoned_carts" else record
                        self.tables[name][record[_PRIMARY_KEYS[name]]] = kept
                    pending[name].clear()
                    logs.append(line.decode())
                case _:
                    logs.append(line.decode())
            if event == "slow reader" and number % 100 == 0:
                time.sleep(0.02)
            if event == "blocked reader" and number == at:
                time.sleep(1)
            if event == "closed pipe" and number == at:
                break
        process.stdout.close()
        return "".join(logs)


def _signal(process: subprocess.Popen[bytes], number: int) -> None:
    # Not by Popen, which would take the exit code of a process that has just ended.
    with suppress(ProcessLookupError):
        os.kill(process.pid, number)


def _end_hung(process: subprocess.Popen[bytes], hung: threading.Event) -> None:
    hung.set()
    _signal(process, signal.SIGKILL)


def _forms(credential: str) -> set[str]:
    """Return a credential as it is sent, and in JSON."""
    encoded = {base64.b64encode(text.encode()).decode() for text in (credential, f"{credential}:")}
    found = {credential, quote(credential), quote(credential, safe=""), *encoded}
    return found | {json.dumps(form)[1:-1] for form in found}


_FORBIDDEN = sorted({"@shop.example", "Rue Saint-Joseph"}.union(*map(_forms, _CREDENTIALS)))


def _compared(cart: dict[str, Any]) -> Any:
    return [cart["email"], cart["total"], cart["currency"], [item["id"] for item in cart["items"]]]


def _text(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, timezone.utc).isoformat()[:19] + "Z"


_campaign = cache(Campaign)  # one for each process


def _run(seed: int) -> Outcome:
    return _campaign().run(seed)


def main() -> None:
    """Run the seeds, two at a time, and print their outcomes."""
    parser = argparse.ArgumentParser(prog="make chaos")
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--seed", type=int, help="run only this one")
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
        "succeeded": sum(outcome.succeeded for outcome in outcomes),
        "attempts": sum(outcome.attempts for outcome in outcomes),
        "faults": sum(injected.values()),
        **{f"  {name}": number for name, number in sorted(injected.items())},
        "carts lost": sum(outcome.carts_lost for outcome in outcomes),
        "windows lost, wrong or superfluous": sum(o.windows_wrong for o in outcomes),
        "departures lost, wrong or false": sum(o.departures_wrong for o in outcomes),
        "credentials or data in logs": sum(len(outcome.leaks) for outcome in outcomes),
        "defects": sum(outcome.defects for outcome in outcomes),
        "hangs": sum(outcome.hangs for outcome in outcomes),
        "peak memory, MB (median)": round(statistics.median(o.memory for o in outcomes)),
        "peak memory, MB (largest)": round(max(outcome.memory for outcome in outcomes)),
        "longest sync, s": round(max(outcome.seconds for outcome in outcomes)),
    }
    for name, number in table.items():
        print(f"{name:36}{number:>10,}")
    failed = [outcome.seed for outcome in outcomes if not outcome.good]
    sys.exit(f"Failed: {failed}. Run one again with make chaos SEED=…" if failed else 0)


if __name__ == "__main__":
    main()
