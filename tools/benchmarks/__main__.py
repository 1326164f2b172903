"""`make bench`: compare the connector, a bare loop and Airbyte's low-code on the same two APIs.

The programs take turns, each in its own process. The results are printed and written to RESULTS.md
and results.png.
"""

import platform
import subprocess
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timezone
from functools import partial
from importlib.metadata import version
from pathlib import Path
from statistics import median
from time import process_time
from timeit import timeit

from tools.processes import PROJECT

from .programs import (
    BOTH,
    CAP,
    ONE_STREAM,
    PYTHON,
    bare,
    connector,
    low_code,
    run,
    serving,
    settings_files,
)

_RESULTS = PROJECT / "tools" / "benchmarks" / "RESULTS.md"
_PICTURE = PROJECT / "tools" / "benchmarks" / "results.png"

_CART_COUNT = 20_000
_CPU_COUNT = 60_000  # enough that the differences of starting up do not matter
_FEW, _MANY = 5_000, 100_000  # carts in the measurement of memory
_CARTS_OF_BOTH, _WINDOWS = 6_000, 365  # in the measurement of both streams
_ROUNDS = 15  # of CPU and start-up, which vary most
_ROUNDS_OF_BOTH = 3
_API_DEFAULT = 20  # carts per page
_DELAY = 0.15  # seconds per response in the measurement of waiting
_BARE, _CONNECTOR = "bare loop", "connector"
_REST = "the rest: selection, engine, output"


@dataclass(frozen=True)
class Row:
    """A row of the table. `goal` limits the ratio of the connector's figure to the baseline's."""

    label: str
    baseline: str
    figures: list[float]  # baseline, connector and, if it was measured, low-code
    unit: str
    goal: float

    def __str__(self) -> str:
        base, ours, *other = (f"{figure:.3g} {self.unit}" for figure in self.figures)
        ratio = self.figures[1] / self.figures[0]
        return (
            f"| {self.label} | {self.baseline}: {base} | {ours} | {''.join(other)} "
            f"| **{ratio:.2f}** | {self.goal:.2f} |"
        )


def measure_cpu(folder: Path) -> list[Row]:
    """Measure the CPU time per cart. The CPU time for an empty list is subtracted."""
    with serving(0) as url:
        empty = _read_in_turns("cpu", folder, url, 50)
    rows = []
    with serving(_CPU_COUNT) as url:
        for size, goal in ((50, 1.05), (CAP, 0.80)):
            full = _read_in_turns("cpu", folder, url, size, lines=_CPU_COUNT)
            costs = [
                (cpu - least) / _CPU_COUNT * 1e6 for cpu, least in zip(full, empty, strict=True)
            ]
            rows.append(Row(f"CPU per cart, {size} carts per page", _BARE, costs, "µs", goal))
    return rows


def measure_waiting(folder: Path) -> list[Row]:
    """Measure the time of syncs from a service with slow responses."""
    rows = []
    with serving(_CART_COUNT, _DELAY) as url:
        ours = run(
            connector("read", *settings_files(folder, url, ONE_STREAM)), url, _CART_COUNT
        ).wall
        for size, goal in ((CAP, 1.25), (_API_DEFAULT, 0.25)):
            settings = settings_files(folder, url, ONE_STREAM, page_size=size)
            commands = (bare(size), low_code("read", *settings))
            with ThreadPoolExecutor() as pool:  # almost all of their time is waiting
                base, other = pool.map(
                    lambda command: run(command, url, _CART_COUNT).wall, commands
                )
            label = f"{_CART_COUNT:,} carts, 150 ms, pages of {size}"
            rows.append(Row(label, _BARE, [base, ours, other], "s", goal))
    with serving(_CARTS_OF_BOTH, _DELAY) as url:
        lines = _CARTS_OF_BOTH + _WINDOWS
        both = _read_in_turns(
            "wall", folder, url, 50, rounds=_ROUNDS_OF_BOTH, lines=lines, windows=_WINDOWS
        )
    rows.append(Row("both streams, 150 ms per response", f"parallel {_BARE}", both, "s", 1.05))
    return rows


def measure_start(folder: Path) -> Row:
    """Measure the time of a command that sends no requests."""
    url = "http://127.0.0.1"  # ignore-https-check
    settings = settings_files(folder, url)
    commands = [
        [PYTHON, "-c", "import airbyte_cdk"],
        connector("discover", *settings),
        low_code("discover", *settings),
    ]
    walls = _run_in_turns("wall", commands, url, _ROUNDS)
    return Row("start-up (`discover`)", "`import airbyte_cdk`", walls, "s", 0.65)


def measure_memory(folder: Path) -> list[Row]:
    """Measure the peak memory with a long list and a slow reader, compared with a short list."""

    def peak(program: Callable[..., list[str]], carts: int, slowly: bool = False) -> float:
        with serving(carts) as url:
            command = program("read", *settings_files(folder, url, ONE_STREAM, page_size=CAP))
            return run(command, url, carts, slowly=slowly).memory

    few, many, other = peak(connector, _FEW), peak(connector, _MANY), peak(low_code, _MANY)
    slow = peak(connector, _CART_COUNT, slowly=True)
    baseline = f"{_CONNECTOR}, {_FEW:,} carts"
    return [
        Row(f"memory, {_MANY:,} carts", baseline, [few, many, other], "MB", 1.10),
        Row("memory, reader of 1,000 carts/s", baseline, [few, slow], "MB", 1.25),
    ]


def measure_steps() -> dict[str, float]:
    """Measure each step of the connector alone, in µs of CPU time per cart."""
    # Imported late, because the peak memory of a child process includes its parent's memory.
    import orjson  # noqa: PLC0415
    import requests  # noqa: PLC0415

    from source_abandoned_carts.engine import RecordLines  # noqa: PLC0415
    from source_abandoned_carts.snipcart import normalize_dates  # noqa: PLC0415

    with serving(50) as url, requests.Session() as session:
        get = partial(session.get, f"{url}/api/carts/abandoned", params={"limit": 50})
        body = get().content
        carts = orjson.loads(body)["items"]
        steps: dict[str, Callable[[], object]] = {
            "requests and responses": get,
            "JSON into carts": lambda: orjson.loads(body),
            "dates": lambda: [*map(normalize_dates, carts)],
            "carts into messages": lambda: RecordLines.of(*ONE_STREAM, carts),
        }
        return {
            name: timeit(step, timer=process_time, number=200) / 200 / 50 * 1e6
            for name, step in steps.items()
        }


def _read_in_turns(
    metric: str,
    folder: Path,
    url: str,
    size: int,
    *,
    rounds: int = _ROUNDS,
    lines: int = 0,
    windows: int = 0,
) -> list[float]:
    streams = BOTH if windows else ONE_STREAM
    settings = settings_files(folder, url, streams, windows or 60, size)
    commands = [bare(size, windows), connector("read", *settings), low_code("read", *settings)]
    return _run_in_turns(metric, commands, url, rounds, lines)


def _run_in_turns(
    metric: str, commands: list[list[str]], url: str, rounds: int, lines: int = 0
) -> list[float]:
    """Return the median of each command. Run the last one, the slow low-code, once."""
    found: list[list[float]] = [[] for _ in commands]
    for number in range(rounds):
        for figures, command in zip(found, commands, strict=True):
            if command is not commands[-1] or number == 0:
                figures.append(getattr(run(command, url, lines), metric))
    return [median(figures) for figures in found]


def write_results(rows: list[Row], steps: dict[str, float]) -> str:
    """Return the text of RESULTS.md."""
    table = "\n".join(map(str, rows))
    rest = rows[0].figures[1] - sum(steps.values())
    parts = (f"| {name} | {figure:.1f} µs |" for name, figure in {**steps, _REST: rest}.items())
    step_table = "\n".join(parts)
    return f"""# Speed and memory

| | baseline | connector | low-code | ratio | goal |
|---|---|---|---|---|---|
{table}

![The connector, the baseline and low-code](results.png)

## How it was measured

`make bench` wrote this page on {datetime.now(timezone.utc):%Y-%m-%d} at commit {_commit()}, on
{_machine()}.

- **bare loop**: plain Python with `requests` and `orjson` (bare.py). It parses the JSON, writes
  RECORD lines through a buffer of 64 KB, and requests statistics in eight threads.
- **low-code**: Airbyte's low-code engine with manifest.yaml. Both read what the connector reads.
- **ratio**: the connector's figure divided by the baseline's.
- The server (server.py) prepares its carts of 3.5 KB and honours `limit` up to {CAP}.
- **{_CART_COUNT:,} carts, 150 ms**: the connector adapts its page size, as it does by
  default. The others use pages of {CAP}, which somebody must have found out, or the API's default
  of {_API_DEFAULT}.
- **both streams**: {_CARTS_OF_BOTH:,} carts, 50 per page, and {_WINDOWS} windows.
- **memory**: {CAP} carts per page.
- The operating system counts CPU time (user and system) and peak memory of the program's process.
  The CPU time of a sync without carts is subtracted.
- The programs take turns and write into a pipe. The figures of CPU and start-up are the median
  of {_ROUNDS} runs, those of both streams of {_ROUNDS_OF_BOTH}. The others, and those of low-code,
  are of one run.
- **CPU per cart**: {_CPU_COUNT:,} carts.

## Where the time goes

CPU time per cart in the connector with 50 carts per page. Each step was measured alone.

| step | CPU |
|---|---|
{step_table}
"""


def draw(rows: list[Row]) -> None:
    """Draw the rows that include low-code."""
    from matplotlib.figure import Figure  # noqa: PLC0415

    figure = Figure(figsize=(18, 4.5), layout="constrained", facecolor="white")
    figure.supxlabel(f"Commit {_commit()}, {_machine()}", fontsize=8, color="#666666")
    compared = [row for row in rows if len(row.figures) == 3]
    axes = list(figure.subplots(2, -(-len(compared) // 2)).flat)
    for axis in axes[len(compared) :]:
        axis.set_axis_off()
    for axis, row in zip(axes, compared, strict=False):
        names = (row.baseline.replace("`", ""), _CONNECTOR, "low-code")
        bars = axis.barh(names, row.figures, color=("#8c8c8c", "#2f6f8f", "#e08e45"))
        axis.bar_label(bars, fmt=f"{{:.3g}} {row.unit}", padding=3)
        axis.set_title(row.label.replace("`", ""), loc="left", fontsize=9)
        axis.invert_yaxis()
        axis.margins(x=0.25)
        axis.spines[["top", "right", "bottom"]].set_visible(False)
        axis.set_xticks([])
    figure.savefig(_PICTURE, dpi=110)


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
    """Measure, and print and write the results."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        rows = measure_cpu(folder)
        rows += measure_waiting(folder)
        rows.append(measure_start(folder))
        rows += measure_memory(folder)
    page = write_results(rows, measure_steps())
    draw(rows)
    _RESULTS.write_text(page)
    print(page)


if __name__ == "__main__":
    main()
