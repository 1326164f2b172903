"""`make bench`: the connector beside a bare loop and Airbyte's low-code, on the same API.

The programs run in turns, as processes. What is found is printed, and kept in RESULTS.md and
results.png.
"""

import platform
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from importlib.metadata import version
from pathlib import Path
from statistics import median

from .programs import (
    BOTH,
    CARTS,
    PROJECT,
    PYTHON,
    STATS,
    Usage,
    bare,
    connector,
    low_code,
    run,
    serving,
    settings_files,
)

_RESULTS = PROJECT / "benchmarks" / "RESULTS.md"
_PLOT = PROJECT / "benchmarks" / "results.png"

_CARTS = 20_000
_DELAY = 0.15  # seconds an answer, where waiting is what is measured
_SIZES = (5_000, 20_000, 50_000, 100_000)  # carts in the plot
_FORMS = ("iso0", "iso2", "iso3", "iso7", "no offset", "offset", "seconds", "seconds as text")
_BARE, _CONNECTOR, _LOW_CODE = "bare loop", "connector", "low-code"

_NOTES = """## Where the time goes

By processes that did only the first of these steps, of some 45 µs of CPU a cart: asking and
receiving 11; JSON 10; dates 3; which carts to pass on 1; the engine's two threads and its messages
12; messages into text 6; output 3. A start-up is the import of airbyte_cdk, of which start.py takes
half away, and 0.05 s of our own; by just a start-up the two waits are behind the bare client.

## What would be faster than the bare loop

To cut a page into carts without reading them, and to pass on as bytes those whose dates need no
change, took 8 µs a cart in a sketch with msgspec, where orjson in and out takes 13: with asking and
receiving about 20, 0.7 of the bare loop. It would need one more dependency; RECORD lines written
past the CDK, which takes mappings only, and so the record counts of the states and the statuses by
code of our own; and a second way for carts that need a change, with the same result down to fields
that are null, which the CDK leaves out. That is most of what the CDK is here for, so it was left.
"""

Usages = dict[str, list[Usage]]


@dataclass(frozen=True)
class Row:
    """A line of the table. `ratio` is that of the connector to what it stands beside."""

    what: str
    beside: str
    base: float
    ours: float
    low_code: float | None
    unit: str
    goal: float | None = None

    def __str__(self) -> str:
        other = "" if self.low_code is None else f"{self.low_code:.3g} {self.unit}"
        goal = "" if self.goal is None else f"{self.goal:.2f}"
        return (
            f"| {self.what} | {self.beside}: {self.base:.3g} {self.unit} | {self.ours:.3g} "
            f"{self.unit} | {other} | **{self.ours / self.base:.2f}** | {goal} |"
        )


def measure_cpu(folder: Path, what: str, forms: Sequence[str], goal: float | None) -> Row:
    """Find the CPU that a cart takes, without that of an empty list."""
    with serving(0) as url:
        empty = _read_in_turns(folder, url, CARTS, rounds=5)
    with serving(_CARTS, forms=forms) as url:
        full = _read_in_turns(folder, url, CARTS, rounds=9, lines=_CARTS)
    base, ours, low_code = (
        (_median(full[name], "cpu") - _median(empty[name], "cpu")) / _CARTS * 1e6
        for name in (_BARE, _CONNECTOR, _LOW_CODE)
    )
    return Row(what, _BARE, base, ours, low_code, "µs", goal)


def measure_waiting(folder: Path, what: str, streams: Sequence[str], days: int) -> Row:
    """Find the time of a sync whose answers take a while."""
    with serving(2_000, _DELAY) as url:
        usages = _read_in_turns(folder, url, streams, rounds=3, lines=days, days=days)
    base, ours, low_code = (
        _median(usages[name], "wall") for name in (_BARE, _CONNECTOR, _LOW_CODE)
    )
    return Row(what, _BARE, base, ours, low_code, "s", 1.12)


def measure_starts(folder: Path) -> list[Row]:
    """Find the time of the commands that read nothing."""
    commands = {"import": [PYTHON, "-c", "import airbyte_cdk"]}
    with serving(0) as url:
        settings = settings_files(folder, url)
        commands["spec"] = connector("spec")
        commands["check"] = connector("check", *settings)
        commands["discover"] = connector("discover", *settings)
        commands[_LOW_CODE] = low_code("check", *settings)
        usages = _run_in_turns(commands, url, rounds=7)
    walls = {name: _median(usages[name], "wall") for name in commands}
    return [
        Row(
            f"time of `{name}`",
            "`import airbyte_cdk`",
            walls["import"],
            walls[name],
            walls[_LOW_CODE] if name == "check" else None,
            "s",
            0.65,
        )
        for name in ("spec", "check", "discover")
    ]


def measure_sizes(folder: Path) -> dict[int, Usages]:
    """Find what lists of several sizes take, by their number of carts."""
    found = {}
    for carts in _SIZES:
        with serving(carts) as url:
            found[carts] = _read_in_turns(folder, url, CARTS, rounds=3, lines=carts)
    return found


def measure_memory(folder: Path, sizes: dict[int, Usages]) -> list[Row]:
    """Compare the peak memory of a long list, and of a slow reader, with that of a short list."""
    first, *_, last = _SIZES
    with serving(_CARTS) as url:
        command = connector("read", *settings_files(folder, url, CARTS))
        slow = run(command, url, _CARTS, slowly=True).memory
    peak, other = (
        {size: _median(sizes[size][name], "memory") for size in _SIZES}
        for name in (_CONNECTOR, _LOW_CODE)
    )
    beside = f"{first:,} carts"
    return [
        Row(f"memory, {last:,} carts", beside, peak[first], peak[last], other[last], "MB", 1.10),
        Row("memory, a reader of 1,000 carts/s", beside, peak[first], slow, None, "MB", 1.25),
    ]


def _read_in_turns(
    folder: Path, url: str, streams: Sequence[str], *, rounds: int, lines: int = 0, days: int = 60
) -> Usages:
    settings = settings_files(folder, url, streams, days)
    commands = {
        _BARE: bare(streams, days),
        _CONNECTOR: connector("read", *settings),
        _LOW_CODE: low_code("read", *settings),
    }
    return _run_in_turns(commands, url, rounds, lines)


def _run_in_turns(commands: dict[str, list[str]], url: str, rounds: int, lines: int = 0) -> Usages:
    found: Usages = {name: [] for name in commands}
    for number in range(rounds):
        for name, command in commands.items():
            if name != _LOW_CODE or number % 3 == 0:  # it takes as long as all the others
                found[name].append(run(command, url, lines))
    return found


def _median(usages: list[Usage], what: str) -> float:
    return float(median(getattr(usage, what) for usage in usages))


def write_results(rows: list[Row]) -> str:
    """Give the page of the results."""
    table = "\n".join(map(str, rows))
    return f"""# How fast, and how much memory

`make bench` has written this page, on {datetime.now(timezone.utc):%Y-%m-%d} at commit
{_commit()}, on {_machine()}.

| | beside | connector | low-code | ratio | goal |
|---|---|---|---|---|---|
{table}

![Time and memory by the number of carts](results.png)

- **bare loop**: `requests` and `orjson` in twenty lines (bare.py), which do nothing but ask, read
  the JSON and print RECORD lines; eight threads for the statistics. **low-code**: Airbyte's own
  engine with manifest.yaml. Both read what the connector reads, and change no dates.
- **ratio**: the connector to what stands beside it. Absolute figures are this machine's.
- Carts of 3.5 KB come in pages of 50, with dates as the API's document shows them, except in the
  line that says otherwise. The server (server.py) has its answers ready.
- The programs run in turns, and their output goes through a pipe to a reader that counts it. Each
  figure is a median: of 9 runs for CPU (low-code 3), 7 for start-up (3), 3 for the rest (1). CPU
  (user and system) and peak memory are those that the operating system counts for the process; an
  empty list's CPU is taken off. The slow reader takes {_CARTS:,} carts, once.

{_NOTES}"""


def draw(sizes: dict[int, Usages]) -> None:
    """Write the plot: time and memory by the number of carts."""
    # Not before all is measured: a process counts its parent's memory as its own until it begins.
    from matplotlib.figure import Figure  # noqa: PLC0415

    figure = Figure(figsize=(11, 4.5), layout="constrained", facecolor="white")
    figure.suptitle(f"Reading abandoned carts, commit {_commit()}", x=0.01, ha="left")
    figure.supxlabel(_machine(), fontsize=8, color="#666666")
    for axis, what, title in zip(
        figure.subplots(1, 2), ("wall", "memory"), ("seconds", "MB at the peak"), strict=True
    ):
        colors = {_LOW_CODE: "#e08e45", _CONNECTOR: "#2f6f8f", _BARE: "#8c8c8c"}
        for name, color in colors.items():
            figures = [_median(sizes[size][name], what) for size in _SIZES]
            axis.plot(_SIZES, figures, color=color, marker="o", label=name)
        axis.set_title(title, loc="left", fontsize=11)
        axis.set_xlabel("carts")
        axis.set_xticks(_SIZES, [f"{size:,}" for size in _SIZES])
        axis.set_ylim(bottom=0)
        axis.spines[["top", "right"]].set_visible(False)
        axis.legend(frameon=False)
    figure.savefig(_PLOT, dpi=110)


def _commit() -> str:
    def git(*arguments: str) -> str:
        command = ["git", *arguments]
        return subprocess.check_output(command, cwd=PROJECT, text=True).strip()

    changed = git("status", "--porcelain", "--", "source_abandoned_carts", "setup.py")
    return git("rev-parse", "--short", "HEAD") + (" with changes" if changed else "")


def _machine() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    models = [line.partition(": ")[2] for line in lines if line.startswith("model name")]
    memory = int(Path("/proc/meminfo").read_text().split()[1]) // 2**20
    return (
        f"{len(models)} × {models[0]}, {memory} GB, {platform.system()}, Python "
        f"{platform.python_version()}, airbyte-cdk {version('airbyte-cdk')}"
    )


def main() -> None:
    """Measure, print, and write the results."""
    rows: list[Row] = []

    def told(*more: Row) -> None:
        for row in more:
            print(row, flush=True)
        rows.extend(more)

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        told(measure_cpu(folder, "CPU of a cart", (), 1.7))
        told(measure_cpu(folder, "CPU of a cart, dates in all forms", _FORMS, None))
        told(measure_waiting(folder, "time of 40 pages and 122 windows at 150 ms", BOTH, 122))
        told(measure_waiting(folder, "time of 365 windows at 150 ms", STATS, 365))
        told(*measure_starts(folder))
        sizes = measure_sizes(folder)
        told(*measure_memory(folder, sizes))
    _RESULTS.write_text(write_results(rows))
    draw(sizes)
    print(f"\nWritten to {_RESULTS.relative_to(PROJECT)} and {_PLOT.relative_to(PROJECT)}.")


if __name__ == "__main__":
    main()
