"""python -m tools.sandbox: serve both APIs until interrupted."""

import argparse
import contextlib
import json

from .server import Fault, Sandbox


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m tools.sandbox",
        description="Snipcart's and Retargeting's APIs on 127.0.0.1.",
    )
    parser.add_argument("--port", type=int, default=0, help="default: any free port")
    parser.add_argument("--carts", type=int, default=300, help="how many carts (default 300)")
    parser.add_argument("--seed", type=int, default=1, help="the same seed makes the same carts")
    parser.add_argument("--snipcart-key", default="sandbox-secret-key")
    parser.add_argument("--retargeting-key", default="sandbox-rest-key")
    parser.add_argument(
        "--fault",
        action="append",
        default=[],
        metavar="SERVICE:KIND[:TIMES]",
        help="SERVICE: snipcart or retargeting. KIND: an HTTP status, reset, cut, html, or slow "
        "(5 seconds). TIMES: how many requests (default 1). The option may be repeated",
    )
    arguments = parser.parse_args()
    try:
        sandbox = Sandbox(
            arguments.carts,
            arguments.seed,
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
    for name, value in sandbox.environment.items():
        print(f"export {name}={value}")
    print(f"# settings: {json.dumps(sandbox.config)}", flush=True)
    with contextlib.suppress(KeyboardInterrupt):
        sandbox.serve_forever()


def _parse_fault(text: str) -> Fault:
    service, kind, *times = text.split(":")
    known = service in ("snipcart", "retargeting") and len(times) <= 1
    if not known or not (kind.isdigit() or kind in ("reset", "cut", "html", "slow")):
        raise ValueError(text)
    count = int(times[0]) if times else 1
    if kind.isdigit():
        return Fault("status", service, count, status=int(kind), headers={"Retry-After": "2"})
    return Fault(kind, service, count, seconds=5)


if __name__ == "__main__":
    main()
