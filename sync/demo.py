"""python -m sync.demo: sync a made-up shop twice into DuckDB, and draw a picture."""

if __name__ == "__main__":
    from . import stop

    stop.handle_signals()  # before the slow imports

import argparse
import json
import os
import sys
from datetime import datetime, timedelta, timezone
from pathlib import Path

from tools.sandbox import Sandbox
from tools.sandbox.data import make_carts, make_events

from .__main__ import run

_FOLDER = Path("demo")
_SETTINGS, _DATABASE = _FOLDER / "config.json", _FOLDER / "abandoned_carts.duckdb"
_CART_COUNT = 300
_OVERLAP = timedelta(hours=1)  # what the connector reads again: see docs/design.md
_FIXED = datetime(2025, 10, 29, 12, tzinfo=timezone.utc)


def main() -> int:
    """Sync a shop, change it, and sync it again; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m sync.demo")
    parser.add_argument(
        "--fixed-date",
        action="store_true",
        help=f"draw the same picture each time: for the shop, it is {_FIXED:%Y-%m-%d}",
    )
    fixed = parser.parse_args().fixed_date
    _FOLDER.mkdir(exist_ok=True)
    _DATABASE.unlink(missing_ok=True)
    today = datetime.now(timezone.utc)
    now = _FIXED if fixed else today
    first = now - timedelta(days=90)
    with Sandbox(0) as sandbox:
        os.environ.update(sandbox.environment)
        sandbox.clock_offset = (now - today).total_seconds()
        sandbox.carts = make_carts(_CART_COUNT, first=first, last=now)
        sandbox.abandoned, sandbox.recovered = make_events(_CART_COUNT * 4, first=first, last=now)
        settings = {**sandbox.config, "start_date": f"{first:%Y-%m-%d}"}
        settings |= {"retargeting_window_days": 7, "snipcart_departed_carts": True}
        _SETTINGS.write_text(json.dumps(settings))
        print(f"First sync of a made-up shop with {_CART_COUNT} abandoned carts", flush=True)
        if code := run(_SETTINGS, f"duckdb:///{_DATABASE}"):
            return code
        print(f"\nSecond sync: {_change(sandbox)}", flush=True)
        return run(
            _SETTINGS,
            f"duckdb:///{_DATABASE}",
            picture=_FOLDER / "abandoned_carts.png",
            read_at=_FIXED if fixed else sandbox.now(),
            note="The shop is made up.",
        )


def _change(sandbox: Sandbox) -> str:
    """Change, buy, delete and add carts, and say which ones the next sync reads."""
    undated = [cart for cart in sandbox.carts if not cart.modified]
    carts = [cart for cart in sandbox.carts if cart.modified]
    newest = max(cart.modified for cart in carts if cart.modified)
    now = sandbox.now() - timedelta(seconds=1)
    changed, bought, deleted, others = carts[:12], carts[12:42], carts[42:50], carts[50:]
    for cart in changed:
        cart.touch(now, "iso7")
    for cart in bought:
        cart.complete(now)
    for cart in deleted:
        cart.delete()
    new = make_carts(5, _CART_COUNT, now - timedelta(hours=1), now)
    sandbox.carts += new
    recent = [cart for cart in others if cart.modified and cart.modified > newest - _OVERLAP]
    read = len(changed) + len(new) + len(undated) + len(recent)
    return (
        f"{len(changed)} carts changed, {len(bought)} bought, {len(deleted)} deleted, and "
        f"{len(new)} new.\nIt reads {read} carts: those that changed, the new ones, and, as each "
        f"sync does, {len(undated)} without a date\nand {len(recent)} that changed in the hour "
        "before the newest cart of the last sync."
    )


if __name__ == "__main__":
    sys.exit(main())
