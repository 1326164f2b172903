"""`make chaos`: sync while everything fails at random, and check what arrives.

Each seed is a shop that changes while it is synced. The services fail, the reader of the output is
slow or goes away, and the process is killed. A sync that fails runs again from its last states. As
a destination must, chaos keeps only records that a state covers. After a last sync without
failures, it must hold what the services have. `make chaos SEED=17` repeats one seed: the same
requests fail in the same way, but the time at which the shop changes differs.
"""

import argparse
import base64
import json
import multiprocessing
import random
import signal
import sys
import tempfile
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote

from tools.processes import Command, catalog, write_files
from tools.sandbox import Fault, Request, Sandbox, make_carts, make_events
from tools.sandbox.data import DATE_FORMATS
from tools.sandbox.server import SNIPCART

_RUNS = 30
_CART_COUNT = 3_000
_DEPARTING = 40  # of the carts; half of them are bought, and half are deleted
_ATTEMPTS = 6  # at syncing with failures
_LONGEST = 120  # seconds, after which an attempt counts as hanging
_READ, _BODY = 0.5, 1.5  # seconds; the connector's own timeouts are 60 and 600
_DAY = 86_400
_LATEST_LISTING = 59  # minutes from a change of a cart until it is on the list
_KEYS = ('sk+live/4=2&b%41"x\\y', "rest/k+e=y&%2F b")
_PRIMARY_KEYS = {"abandoned_carts": "token", "cart_stats": "date_from", "departed_carts": "token"}
_UNFINISHED = {"abandoned_carts": "scan_token", "cart_stats": "reached"}  # keys in a state
_EVENTS = ("SIGKILL", "SIGTERM", "slow reader", "blocked reader", "closed pipe")
_RETRY_AFTER = (
    None, "1", "0", "600", "999999999", "1e9", "-5", "soon", "", "1.5",
    "Fri, 31 Dec 1999 23:59:59 GMT", "Fri, 31 Dec 9999 23:59:59 GMT",
)  # fmt: skip
_RUN = "from source_abandoned_carts.run import run; run()"
_HURRY = f"from tools.chaos import shorten_waits; shorten_waits(); {_RUN}"


@dataclass
class Result:
    """What one seed led to. `problems` are the defects that it found."""

    seed: int
    attempts: int = 0
    seconds: float = 0
    memory: float = 0  # MB at the peak
    injected: Counter[str] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)


def shorten_waits() -> None:
    """Shorten the connector's waits and timeouts in this process."""
    import attributes_doc  # noqa: PLC0415

    attributes_doc.get_attributes_doc = lambda cls: {}  # noqa: ARG005, as in run.py
    from source_abandoned_carts import http, throttle  # noqa: PLC0415

    policy = partial(http.RetryPolicy, connect=_READ, read=_READ, body=_BODY)
    http.RetryPolicy = policy  # type: ignore[misc,assignment]
    sleep = time.sleep
    time.sleep = lambda seconds: sleep(float(seconds) / 1000)
    throttle.now = lambda: time.monotonic() * 1000


class Services:
    """A sandbox whose shop changes, and which fails a `share` of the requests."""

    def __init__(self, seed: int, sandbox: Sandbox, elsewhere: str, injected: Counter[str]) -> None:
        now = datetime.now(timezone.utc)
        self.first_day = (now - timedelta(days=730)).replace(hour=0, minute=0, second=0)
        self.sandbox = sandbox
        self.departures: dict[str, str | None] = {}  # statuses by token
        self.share = 0.0
        self.is_changing = True
        self._seed = seed
        self._elsewhere = elsewhere
        self._injected = injected
        self._received: Counter[str] = Counter()
        sandbox.carts = make_carts(_CART_COUNT, seed, self.first_day, now)
        sandbox.abandoned, sandbox.recovered = make_events(2_000, seed, self.first_day, now)
        sandbox.snipcart_key, sandbox.retargeting_key = _KEYS
        sandbox.before = self._before

    def _before(self, request: Request) -> None:
        """Choose what happens at a request. The order in which requests arrive has no influence."""
        place = request.query.get("continuationToken") or request.query.get("date_from")
        name = f"{request.path} {place}"
        self._received[name] += 1
        chance = random.Random(f"{self._seed} {name} {self._received[name]}")
        if chance.random() < self.share:
            name, fault = self._make_fault(chance)
            fault.service, fault.when = request.service, lambda other: other is request
            self._injected[name] += 1
            self.sandbox.faults.append(fault)
        if self.is_changing and request.path == SNIPCART and chance.random() < 0.2:
            self._change(chance)

    def _make_fault(self, chance: random.Random) -> tuple[str, Fault]:
        cart = chance.choice(self.sandbox.carts).document
        secrets = {"message": [*_KEYS, *map(quote, _KEYS)], "cart": cart}
        html = f"<html>{json.dumps(secrets)}"
        wait = {"Retry-After": chance.choice(_RETRY_AFTER)}
        at = int(2 ** chance.uniform(0, 20))  # about as often within the head as within the body
        noise = ["HTTP/1.1 a\r\n\r\n", b"\0" * 5_000, secrets]
        types = ["text/html", "text/plain; charset=utf-16", "application/pdf", "", None]
        statuses = [500, 502, 503, 504, 520, 408]
        faults = {
            "429": Fault("status", status=429, headers=wait, body=secrets),
            "5xx, 408": Fault("status", status=chance.choice(statuses), headers=wait,
                              body=chance.choice([secrets, html, ""])),
            "redirect": Fault("status", status=chance.choice([301, 302, 303, 307, 308]),
                              headers={"Location": self._elsewhere}, body=secrets),
            "HTML": Fault("status", status=200, body=html),
            "no body": Fault("status", status=200, body=b""),
            "content type": Fault("headers", headers={"Content-Type": chance.choice(types)}),
            "gzip": chance.choice([Fault("gzip"), Fault("gzip", at=at), Fault("gzip", body="x")]),
            "no gzip": Fault("headers", headers={"Content-Encoding": "gzip"}),
            "reset": Fault("reset", at=at),
            "cut off": Fault("cut", at=at),
            "stall": Fault("cut", at=at, seconds=_READ + 0.5),
            "drip": Fault("drip", seconds=_READ / 2),
            "endless body": Fault("endless"),
            "closed after the response": Fault("close"),
            "no HTTP": Fault("raw", body=chance.choice(noise)),
        }  # fmt: skip
        return chance.choice(list(faults.items()))

    def _change(self, chance: random.Random) -> None:
        """Change a cart, or add one to the end of the list, which may show it late."""
        now = self.sandbox.now()
        if chance.random() < 0.5:
            carts = [cart for cart in self.sandbox.carts if cart.modified and cart.on_list]
            cart = chance.choice(carts)
            cart.document["total"] = chance.randrange(1_000)
            cart.touch(now, chance.choice(list(DATE_FORMATS)))
        else:
            late = now - timedelta(minutes=chance.uniform(0, _LATEST_LISTING))
            seed = chance.getrandbits(32)
            self.sandbox.carts += make_carts(1, seed, late - timedelta(minutes=1), late)

    def change_between_syncs(self) -> None:
        """Let carts leave the list, others appear late, and counts of past weeks grow.

        During a sync, carts that leave the list would move others to pages already read.
        """
        now, chance = self.sandbox.now(), random.Random(self._seed)
        for number, cart in enumerate(chance.sample(self.sandbox.carts[:_CART_COUNT], _DEPARTING)):
            if number % 2:
                cart.complete(now)
            else:
                cart.delete()
            self.departures[cart.token] = None if cart.deleted else cart.document["status"]
        for _ in range(20):
            self._change(chance)
        recent = [int(now.timestamp()) - chance.randrange(_DAY, 25 * _DAY) for _ in range(50)]
        self.sandbox.abandoned += recent
        self.sandbox.recovered += recent[::2]


class Destination:
    """Stores records when a state covers them, and passes the last states to the next attempt."""

    def __init__(self, config: dict[str, Any], services: Services, result: Result) -> None:
        self.tables: dict[str, dict[str, Any]] = {name: {} for name in _PRIMARY_KEYS}
        self._states: dict[str, dict[str, Any]] = {}
        # Keys of records that must not be emitted again: of an unfinished scan, and of departures.
        self._covered: dict[str, set[str]] = {name: set() for name in _PRIMARY_KEYS}
        self._config = config
        self._services = services
        self._result = result

    def sync(self, folder: Path, chance: random.Random | None) -> bool:
        """Run the connector, without `chance` undisturbed. Return whether it succeeds."""
        self._result.attempts += 1
        event = chance.choice([*_EVENTS, "", ""]) if chance else ""
        at = chance.randrange(_CART_COUNT) if chance else 0
        self._result.injected.update([event] if event else [])
        files = {"catalog": catalog(*_PRIMARY_KEYS), "state": list(self._states.values())}
        arguments = ["read", *write_files(folder, config=self._config, **files)]
        code = _HURRY if chance else _RUN
        with (folder / "errors").open("wb") as errors:
            command = [sys.executable, "-c", code, *arguments]
            process = Command(command, self._services.sandbox.url, stderr=errors)
        timer = threading.Timer(_LONGEST, process.kill)
        timer.start()
        logs = self._take(process, event, at)
        usage = process.usage()
        timer.cancel()
        logs += (folder / "errors").read_text()
        self._result.memory = max(self._result.memory, usage.memory)
        problems = [f"{form} in the output" for form in _FORBIDDEN if form in logs]
        if usage.wall > _LONGEST:
            problems.append("an attempt hung")
        if "defect in the connector" in logs:
            problems.append("a defect was reported")
        if not event and process.returncode != 0 and '"type":"TRACE"' not in logs:
            problems.append("an attempt failed without an error message")
        if not chance and process.returncode != 0:
            problems.append("a sync without failures failed")
        self._result.problems += problems
        return process.returncode == 0

    def _take(self, process: Command, event: str, at: int) -> str:
        """Read the output, and return the lines that are not records."""
        pending: dict[str, list[Any]] = {name: [] for name in _PRIMARY_KEYS}
        emitted: dict[str, list[Any]] = {name: [] for name in _PRIMARY_KEYS}
        before = {name: state["stream"]["stream_state"] for name, state in self._states.items()}
        covered = {name: set(keys) for name, keys in self._covered.items()}
        logs = []
        assert process.stdout is not None
        for number, line in enumerate(process.stdout):
            if not line.endswith(b"\n"):
                break  # killed within a line
            match json.loads(line):
                case {"record": {"stream": name, "data": record}}:
                    pending[name].append(record)
                    emitted[name].append(record)
                case {"state": {"stream": {"stream_descriptor": {"name": name}}} as state}:
                    self._states[name] = state
                    self._store(name, pending[name], state["stream"]["stream_state"])
                    pending[name] = []
                    logs.append(line.decode())
                case _:
                    logs.append(line.decode())
            if event == "slow reader" and number % 100 == 0:
                time.sleep(0.02)
            if event == "blocked reader" and number == at:
                time.sleep(1)
            if event in ("SIGKILL", "SIGTERM") and number == at:
                process.send_signal(getattr(signal, event))
            if event == "closed pipe" and number == at:
                break
        process.stdout.close()
        text = "".join(logs)
        if "cannot resume the last scan" in text:  # a new scan emits its carts again
            covered["abandoned_carts"] = set()
        for name, records in emitted.items():
            self._find_repeated(name, records, covered[name], before.get(name, {}))
        return text

    def _store(self, stream: str, records: list[Any], state: dict[str, Any]) -> None:
        keys = {record[_PRIMARY_KEYS[stream]]: record for record in records}
        self.tables[stream] |= keys
        if stream in _UNFINISHED and _UNFINISHED[stream] not in state:
            self._covered[stream].clear()
        else:
            self._covered[stream] |= keys.keys()

    def _find_repeated(
        self, stream: str, records: list[Any], covered: set[str], before: dict[str, Any]
    ) -> None:
        """Add a problem if records came more often than the documentation allows."""
        counts = Counter(record[_PRIMARY_KEYS[stream]] for record in records)
        repeated = sum(number > 1 or key in covered for key, number in counts.items())
        if stream == "abandoned_carts" and before and "scan_token" not in before:
            cursor = before["modificationDate"][:19]
            dates = [record.get("modificationDate") for record in records]
            repeated += sum(date is not None and date[:19] < cursor for date in dates)
        if repeated:
            self._result.problems.append(f"{repeated} records of {stream} came again")


def _find_missing(services: Services, tables: dict[str, dict[str, Any]], days: int) -> list[str]:
    """Compare the tables with what the services have."""
    carts, windows, departures = (tables[name] for name in _PRIMARY_KEYS)
    listed = [cart.document for cart in services.sandbox.carts if cart.on_list]
    lost = sum(_content(carts.get(cart["token"])) != _content(cart) for cart in listed)
    found = {token: record["status"] for token, record in departures.items()}
    wrong = {
        "carts lost or outdated": lost,
        "windows lost, wrong or superfluous": _wrong_windows(services, windows, days),
        "departures lost, wrong or false": len(found.items() ^ services.departures.items()),
    }
    return [f"{number} {name}" for name, number in wrong.items() if number]


def _wrong_windows(services: Services, windows: dict[str, Any], days: int) -> int:
    sandbox = services.sandbox
    start = int(services.first_day.timestamp()) // _DAY * _DAY
    wrong, left = 0, dict(windows)
    for first in range(start, int(time.time()), days * _DAY):
        found = left.pop(_text(first), None)
        last = first + days * _DAY - 1
        if found and last > time.time():  # the running window ends when it was requested
            end = datetime.fromisoformat(found["date_to"][:-1] + "+00:00").timestamp()
            last = min(last, int(end))
        expected = {
            "date_from": _text(first),
            "date_to": _text(last),
            "abandoned": sum(first <= moment <= last for moment in sandbox.abandoned),
            "recovered": sum(first <= moment <= last for moment in sandbox.recovered),
        }
        wrong += found != expected
    return wrong + len(left)


def _content(cart: dict[str, Any] | None) -> Any:
    ids = [item["id"] for item in cart["items"]] if cart else []
    return cart and [cart["email"], cart["total"], cart["currency"], ids]


def _text(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, timezone.utc).isoformat()[:19] + "Z"


def _forms(key: str) -> set[str]:
    """Return a key as it is sent, and in JSON."""
    encoded = {base64.b64encode(text.encode()).decode() for text in (key, f"{key}:")}
    found = {key, quote(key), quote(key, safe=""), *encoded}
    return found | {json.dumps(form)[1:-1] for form in found}


_FORBIDDEN = sorted({"@shop.example", "Rue Saint-Joseph"}.union(*map(_forms, _KEYS)))


def run(seed: int) -> Result:
    """Sync twice with failures, and once without. The shop changes until the last sync."""
    started, chance, result = time.monotonic(), random.Random(seed), Result(seed)
    page_size, days = chance.choice([None, 50, 200, 500]), chance.choice([7, 30])
    with (
        tempfile.TemporaryDirectory() as name,
        Sandbox(0) as elsewhere,
        Sandbox(0) as sandbox,
    ):
        services = Services(seed, sandbox, f"{elsewhere.url}{SNIPCART}", result.injected)
        sandbox.largest_limit = None if page_size else chance.choice([None, 100, 200])
        config = {
            **sandbox.config,
            "start_date": f"{services.first_day:%Y-%m-%d}",
            "snipcart_departed_carts": True,
            "retargeting_window_days": days,
        } | ({"snipcart_page_size": page_size} if page_size else {})
        destination = Destination(config, services, result)
        for is_first in (True, False):
            services.share = chance.choice([0.005, 0.02, 0.1])
            if not any(destination.sync(Path(name), chance) for _ in range(_ATTEMPTS)):
                services.share = 0
                destination.sync(Path(name), None)
            if is_first:
                services.change_between_syncs()
        services.share, services.is_changing = 0, False
        destination.sync(Path(name), None)
        result.problems += _find_missing(services, destination.tables, days)
        if elsewhere.requests:
            result.problems.append("a redirect was followed")
    result.seconds = time.monotonic() - started
    return result


def main() -> None:
    """Run the seeds, two at a time. Print the problems and a summary."""
    parser = argparse.ArgumentParser(prog="make chaos")
    parser.add_argument("--runs", type=int, default=_RUNS, help=f"how many (default {_RUNS})")
    parser.add_argument("--seed", type=int, help="run only this seed")
    arguments = parser.parse_args()
    seeds = [*range(1, arguments.runs + 1)] if arguments.seed is None else [arguments.seed]
    results = []
    with multiprocessing.Pool(min(2, len(seeds))) as pool:
        for result in pool.imap_unordered(run, seeds):
            results.append(result)
            outcome = "; ".join(result.problems) or "good"
            print(
                f"seed {result.seed}: {outcome} ({result.attempts} attempts, "
                f"{sum(result.injected.values())} failures, {result.seconds:.0f} s, "
                f"{result.memory:.0f} MB)",
                flush=True,
            )
    injected = sum((result.injected for result in results), Counter[str]())
    print(f"{len(results)} runs, {sum(result.attempts for result in results)} attempts. Failures:")
    print(", ".join(f"{name}: {number}" for name, number in sorted(injected.items())))
    failed = sorted(result.seed for result in results if result.problems)
    sys.exit(f"Failed: {failed}. Repeat one with make chaos SEED=…" if failed else 0)


if __name__ == "__main__":
    main()
