"""python -m sync.demo: a made-up shop synced twice into DuckDB, with tables and a picture."""

import json
import os
import random
import sys
from datetime import datetime, timedelta, timezone
from pathlib import Path

from rich.console import Console
from sqlalchemy.engine import URL

from sandbox import Sandbox
from sandbox.data import Cart, make_carts, make_events

from .command import end_like_ctrl_c, report, run

_FOLDER = Path("demo")
_SHOP = _FOLDER / "shop.json"
_SETTINGS = _FOLDER / "config.json"
_DATABASE = _FOLDER / "abandoned_carts.duckdb"
_PICTURE = _FOLDER / "abandoned_carts.png"

_CARTS, _DAYS = 300, 90
_TOUCHED, _NEW = 12, 5

_console = Console(highlight=False)


def main() -> None:
    """Sync twice, with changes between; go on from an earlier demo, if there was one."""
    _FOLDER.mkdir(exist_ok=True)
    with Sandbox(0) as sandbox:
        os.environ.update(sandbox.environment)
        first = "what is new since the last demo" if _open_shop(sandbox) else "all there is"
        _console.print(
            f"A made-up shop with {len(sandbox.carts)} abandoned carts answers on {sandbox.url}."
        )
        _sync(f"First sync: {first}")
        _let_live(sandbox)
        _sync(f"Second sync, after {_TOUCHED} carts have changed and {_NEW} new ones were left")
    report(_url(), _PICTURE)
    _console.print(f"The tables are in {_DATABASE}")
    _console.print(
        "\nRun it again, and only what is new is read; carts without a date, and the statistics of "
        "the\nlast 30 days, are read each time. With real keys: make sync."
    )


def _sync(title: str) -> None:
    _console.print(f"\n{title}", style="bold")
    if code := run(_SETTINGS, _url()):
        sys.exit(code)


def _url() -> URL:
    return URL.create("duckdb", database=str(_DATABASE.absolute()))


def _open_shop(sandbox: Sandbox) -> bool:
    """Give the sandbox the shop of the last demo, or a new one; tell whether there was one."""
    known = _SHOP.exists()
    if known:
        shop = json.loads(_SHOP.read_text())
        sandbox.carts = [Cart(document, _moment(moment)) for document, moment in shop["carts"]]
        sandbox.abandoned, sandbox.recovered = shop["abandoned"], shop["recovered"]
    else:
        _DATABASE.unlink(missing_ok=True)
        now = datetime.now(timezone.utc)
        first = now - timedelta(days=_DAYS)
        sandbox.carts = make_carts(_CARTS, first=first, last=now)
        sandbox.abandoned, sandbox.recovered = make_events(_CARTS * 4, first=first, last=now)
        settings = {"start_date": f"{first:%Y-%m-%d}", "retargeting_window_days": 7}
        _SETTINGS.write_text(json.dumps({**sandbox.config, **settings}))
        _save_shop(sandbox)
    return known


def _let_live(sandbox: Sandbox) -> None:
    """Change some carts, and leave new ones."""
    chance = random.Random(len(sandbox.carts))
    now = sandbox.now() - timedelta(seconds=1)
    for cart in chance.sample([cart for cart in sandbox.carts if cart.modified], _TOUCHED):
        cart.touch(now, "iso7")
    sandbox.carts += make_carts(_NEW, len(sandbox.carts), now - timedelta(hours=1), now)
    sandbox.abandoned += [int(now.timestamp())] * _NEW
    _save_shop(sandbox)


def _save_shop(sandbox: Sandbox) -> None:
    carts = [(cart.document, cart.modified and cart.modified.isoformat()) for cart in sandbox.carts]
    shop = {"carts": carts, "abandoned": sandbox.abandoned, "recovered": sandbox.recovered}
    written = _SHOP.with_suffix(".new")
    written.write_text(json.dumps(shop))
    written.replace(_SHOP)


def _moment(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None


if __name__ == "__main__":
    end_like_ctrl_c()
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
