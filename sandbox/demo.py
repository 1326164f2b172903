"""python -m sandbox.demo: two incremental syncs of a made-up shop by the real command."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections import defaultdict
from datetime import timedelta
from pathlib import Path
from typing import Any

from .server import Sandbox

_CARTS = 300
_TOUCHED = 12


def main() -> None:
    command = shutil.which("source-abandoned-carts", path=str(Path(sys.executable).parent))
    if command is None:
        sys.exit("The connector is not installed beside this Python: run `make demo`.")
    with Sandbox(_CARTS) as sandbox, tempfile.TemporaryDirectory() as folder:
        demo = _Demo(command, sandbox, Path(folder))
        print(f"A made-up shop with {_CARTS} abandoned carts answers on {sandbox.url}.\n")
        status = demo.run("check")[-1]["connectionStatus"]["status"]
        print(f"check     {status}")
        streams = demo.run("discover")[-1]["catalog"]["streams"]
        print(f"discover  {', '.join(stream['name'] for stream in streams)}\n")
        demo.configure(streams)
        first = demo.read()
        for cart in sandbox.carts[:_TOUCHED]:
            cart.touch(sandbox.now() - timedelta(seconds=1), "iso7")
        sandbox.abandoned.append(int(sandbox.now().timestamp()) - 1)
        second = demo.read()
    left, window = first["abandoned_carts"][0], first["cart_stats"][0]
    items = ", ".join(f"{item['quantity']} × {item['name']}" for item in left["items"])
    print(f"A cart:   {left['email']} left {items}: {left['total']:.2f} {left['currency']},")
    print(f"          last changed at {left['modificationDate']}.")
    print(f"A window: {window['abandoned']} carts abandoned, {window['recovered']} recovered,")
    print(f"          {window['date_from']} to {window['date_to']}.\n")
    print(f"{'records read':<28}{'abandoned_carts':>16}{'cart_stats':>12}")
    for title, records in (
        ("first sync: all there is", first),
        (f"second: {_TOUCHED} carts changed", second),
    ):
        print(f"{title:<28}{len(records['abandoned_carts']):>16}{len(records['cart_stats']):>12}")
    undated = sum("modificationDate" not in cart for cart in second["abandoned_carts"])
    same = len(second["abandoned_carts"]) - _TOUCHED - undated
    print(f"""
The second sync passes on the {_TOUCHED} changed carts, {undated} without a readable date
and {same} of the saved date itself; of the statistics, the windows of the last 30 days.

With real keys: put them into secrets/config.json, then see “Real keys” in README.md.""")


class _Demo:
    """Runs the command against a sandbox, with its files in a folder."""

    def __init__(self, command: str, sandbox: Sandbox, folder: Path) -> None:
        self._command = command
        self._environment = {**os.environ, **sandbox.environment}
        self._folder = folder
        self._state: list[Any] = []
        self._write("config", sandbox.config)

    def run(self, verb: str, *files: str) -> list[dict[str, Any]]:
        """Run a command of the protocol with these files, and give its messages."""
        options = [
            option
            for name in ("config", *files)
            for option in (f"--{name}", str(self._folder / f"{name}.json"))
        ]
        done = subprocess.run(
            [self._command, verb, *options],
            env=self._environment,
            stdout=subprocess.PIPE,
            text=True,
            check=False,
        )
        messages = [json.loads(line) for line in done.stdout.splitlines()]
        if done.returncode != 0:
            sys.exit(f"{verb} failed:\n{done.stdout}")
        return messages

    def configure(self, streams: list[dict[str, Any]]) -> None:
        """Choose all streams, incremental."""
        configured = [
            {"stream": stream, "sync_mode": "incremental", "destination_sync_mode": "append_dedup"}
            for stream in streams
        ]
        self._write("catalog", {"streams": configured})

    def read(self) -> dict[str, list[dict[str, Any]]]:
        """Sync from where the last sync ended; give the records of each stream."""
        self._write("state", self._state)
        messages = self.run("read", "catalog", "state")
        states = {
            message["state"]["stream"]["stream_descriptor"]["name"]: message["state"]
            for message in messages
            if message["type"] == "STATE"
        }
        self._state = list(states.values())
        records = defaultdict(list)
        for message in messages:
            if message["type"] == "RECORD":
                records[message["record"]["stream"]].append(message["record"]["data"])
        return records

    def _write(self, name: str, content: Any) -> None:
        (self._folder / f"{name}.json").write_text(json.dumps(content))


if __name__ == "__main__":
    # Ended from outside, it still clears up.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with contextlib.suppress(KeyboardInterrupt):
        main()
