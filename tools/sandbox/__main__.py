"""python -m tools.sandbox: serve both APIs of a shop that changes, until interrupted."""

import argparse
import contextlib
import json
import shlex

from .changes import fill, keep_changing
from .server import Fault, Sandbox

_KINDS = ("slow", "html", "gzip", "endless", "reset", "cut", "close")


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m tools.sandbox",
        description="Snipcart's and Retargeting's APIs on 127.0.0.1.",
    )
    parser.add_argument("--port", type=int, default=0, help="default: any free port")
    parser.add_argument("--carts", type=int, default=300, help="how many carts (default 300)")
    parser.add_argument("--seed", type=int, default=1, help="the same seed makes the same carts")
    parser.add_argument(
        "--change-every",
        type=float,
        default=5,
        metavar="SECONDS",
        help="how often a cart appears, changes, is bought or is deleted (default 5; 0: never)",
    )
    parser.add_argument("--snipcart-key", default="sandbox-secret-key")
    parser.add_argument("--retargeting-key", default="sandbox-rest-key")
    parser.add_argument(
        "--fault",
        action="append",
        default=[],
        metavar="SERVICE:KIND[:TIMES]",
        help="SERVICE: snipcart or retargeting. KIND: an HTTP status, slow (5 seconds), html, "
        "gzip, endless, reset, cut, or close. TIMES: how many requests (default 1). The option "
        "may be repeated",
    )
    parser.add_argument(
        "--rate-limit",
        type=_parse_rate_limit,
        metavar="REQUESTS/SECONDS",
        help="such as 2/1: each service responds to more requests than that with HTTP 429",
    )
    arguments = parser.parse_args()
    try:
        sandbox = Sandbox(
            0,
            port=arguments.port,
            snipcart_key=arguments.snipcart_key,
            retargeting_key=arguments.retargeting_key,
        )
    except OSError as error:
        parser.error(f"cannot listen on port {arguments.port}: {error.strerror}; choose another")
    try:
        sandbox.faults = [_parse_fault(text) for text in arguments.fault]
    except ValueError:
        parser.error("--fault must be SERVICE:KIND[:TIMES], such as snipcart:429:2")
    sandbox.rate_limit = arguments.rate_limit
    fill(sandbox, arguments.carts, arguments.seed)
    if arguments.change_every:
        keep_changing(sandbox, arguments.seed, arguments.change_every)
    print(_instructions(sandbox, arguments.change_every), flush=True)
    with contextlib.suppress(KeyboardInterrupt):
        sandbox.serve_forever()


def _instructions(sandbox: Sandbox, change_every: float) -> str:
    """Return lines for a shell that sync this sandbox."""
    exports = "\n".join(f"export {name}={url}" for name, url in sandbox.environment.items())
    settings = shlex.quote(json.dumps({**sandbox.config, "snipcart_departed_carts": True}))
    table_file = f"data/sandbox-{sandbox.url.rpartition(':')[2]}.duckdb"  # each start is a new shop
    changes = f"Every {change_every:g} seconds, a cart appears, changes, is bought or is deleted."
    return f"""\
# A made-up shop is served on this machine until you press Ctrl-C.
# {changes if change_every else "Nothing changes in it."}
# Run these lines in another terminal, in the project's folder. They affect only that terminal.
{exports}
mkdir -p data
printf '%s' {settings} > data/sandbox.json
make sync CONFIG=data/sandbox.json TO=duckdb:///{table_file}
# To sync what has changed since, run the last line again. Then close that terminal."""


def _parse_rate_limit(text: str) -> tuple[int, float]:
    requests, seconds = text.split("/")
    return int(requests), float(seconds)


def _parse_fault(text: str) -> Fault:
    service, kind, *times = text.split(":")
    known = service in ("snipcart", "retargeting") and len(times) <= 1
    if not known or not (kind.isdigit() or kind in _KINDS):
        raise ValueError(text)
    count = int(times[0]) if times else 1
    if kind.isdigit():
        return Fault("status", service, count, status=int(kind), headers={"Retry-After": "2"})
    return Fault(kind, service, count, seconds=5)


if __name__ == "__main__":
    main()
