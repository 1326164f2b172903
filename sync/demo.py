"""python -m sync.demo: a made-up shop synced twice into DuckDB, with tables and a picture."""

import json
import os
import random
import sys
from datetime import datetime, timedelta, timezone
from pathlib import Path

from sandbox import Sandbox
from sandbox.data import make_carts, make_events

from .__main__ import run

_FOLDER = Path("demo")
_SETTINGS, _DATABASE = _FOLDER / "config.json", _FOLDER / "abandoned_carts.duckdb"
_CARTS, _CHANGED, _NEW = 300, 12, 5


def main() -> int:
    """Sync a shop, change it, and sync it again; give the exit code."""
    _FOLDER.mkdir(exist_ok=True)
    _DATABASE.unlink(missing_ok=True)
    now = datetime.now(timezone.utc)
    first = now - timedelta(days=90)
    with Sandbox(0) as sandbox:
        os.environ.update(sandbox.environment)
        sandbox.carts = make_carts(_CARTS, first=first, last=now)
        sandbox.abandoned, sandbox.recovered = make_events(_CARTS * 4, first=first, last=now)
        settings = {"start_date": f"{first:%Y-%m-%d}", "retargeting_window_days": 7}
        _SETTINGS.write_text(json.dumps({**sandbox.config, **settings}))
        print(f"First sync of a made-up shop with {_CARTS} abandoned carts", flush=True)
        if code := run(_SETTINGS, f"duckdb:///{_DATABASE}"):
            return code
        now = sandbox.now() - timedelta(seconds=1)
        dated = [cart for cart in sandbox.carts if cart.modified]
        for cart in random.Random(1).sample(dated, _CHANGED):
            cart.touch(now, "iso7")
        sandbox.carts += make_carts(_NEW, _CARTS, now - timedelta(hours=1), now)
        print(f"\nSecond sync, after {_CHANGED} carts changed and {_NEW} were added", flush=True)
        return run(_SETTINGS, f"duckdb:///{_DATABASE}", picture=_FOLDER / "abandoned_carts.png")


if __name__ == "__main__":
    sys.exit(main())
