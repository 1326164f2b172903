"""What happens in the sandbox's shop while time passes."""

import random
import threading
import time
from datetime import timedelta

from .data import DATE_FORMATS, FIRST_DAY, make_carts, make_events
from .server import Sandbox


def fill(sandbox: Sandbox, carts: int, seed: int) -> None:
    """Replace the carts and the events by others with dates up to now."""
    now = sandbox.now()
    sandbox.carts = make_carts(carts, seed, FIRST_DAY, now)
    abandoned, recovered = make_events(carts * 4, seed, FIRST_DAY, now)
    sandbox.abandoned = abandoned
    sandbox.recovered = [moment for moment in recovered if moment < now.timestamp()]


def change(sandbox: Sandbox, chance: random.Random) -> None:
    """Let a customer abandon, change, buy or delete a cart now."""
    now = sandbox.now()
    listed = [cart for cart in sandbox.carts if cart.on_list]
    what = chance.choices(["abandon", "change", "buy", "delete"], [4, 3, 2, 1])[0]
    if what == "abandon" or not listed:
        sandbox.carts += make_carts(1, chance.getrandbits(32), now - timedelta(minutes=1), now)
        sandbox.abandoned.append(int(now.timestamp()))
        return
    cart = chance.choice(listed)
    if what == "change":
        cart.document["total"] = round(cart.document["total"] + chance.randint(1, 50), 2)
        cart.touch(now, chance.choice(list(DATE_FORMATS)))
    elif what == "buy":
        cart.complete(now)
        sandbox.recovered.append(int(now.timestamp()))
    else:
        cart.delete()


def keep_changing(sandbox: Sandbox, seed: int, seconds: float) -> None:
    """Start a thread that changes something every `seconds`, until the process ends."""
    chance = random.Random(seed)

    def run() -> None:
        while True:
            time.sleep(seconds)
            change(sandbox, chance)

    threading.Thread(target=run, daemon=True).start()
