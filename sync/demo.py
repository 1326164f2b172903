"""python -m sync.demo: sync a made-up shop twice into DuckDB, and draw a picture."""

if __name__ == "__main__":
    from . import stop

    stop.handle_signals()  # before the slow imports

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
_CARTS = 300


def main() -> int:
    """Sync a shop, change it, and sync it again; return the exit code."""
    _FOLDER.mkdir(exist_ok=True)
    _DATABASE.unlink(missing_ok=True)
    now = datetime.now(timezone.utc)
    first = now - timedelta(days=90)
    with Sandbox(0) as sandbox:
        os.environ.update(sandbox.environment)
        sandbox.carts = make_carts(_CARTS, first=first, last=now)
        sandbox.abandoned, sandbox.recovered = make_events(_CARTS * 4, first=first, last=now)
        settings = {**sandbox.config, "start_date": f"{first:%Y-%m-%d}"}
        settings |= {"retargeting_window_days": 7, "snipcart_departed_carts": True}
        _SETTINGS.write_text(json.dumps(settings))
        print(f"First sync of a made-up shop with {_CARTS} abandoned carts", flush=True)
        if code := run(_SETTINGS, f"duckdb:///{_DATABASE}"):
            return code
        now = sandbox.now() - timedelta(seconds=1)
        carts = [cart for cart in sandbox.carts if cart.modified]
        for cart in carts[:12]:
            cart.touch(now, "iso7")
        for cart in carts[12:42]:
            cart.complete(now)
        for cart in carts[42:50]:
            cart.delete()
        sandbox.carts += make_carts(5, _CARTS, now - timedelta(hours=1), now)
        print("\nSecond sync: 12 carts changed, 30 bought, 8 deleted, and 5 new", flush=True)
        return run(_SETTINGS, f"duckdb:///{_DATABASE}", picture=_FOLDER / "abandoned_carts.png")


if __name__ == "__main__":
    sys.exit(main())
