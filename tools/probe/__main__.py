"""python -m tools.probe --config secrets/config.json; see tools/probe/__init__.py."""

import argparse
import logging
import signal
import sys

from airbyte_cdk.utils.traced_exception import AirbyteTracedException
from rich.console import Console
from rich.table import Table

from source_abandoned_carts import SourceAbandonedCarts, files
from source_abandoned_carts.config import read_config

from .meter import MAX_REQUESTS, Answer, CannotTellError, OutOfRequestsError
from .probes import RetargetingProbe, SnipcartProbe


def main(arguments: list[str] | None = None) -> None:
    """Probe the services that have a key, print a table for each, and exit."""
    parser = argparse.ArgumentParser(prog="make probe")
    parser.add_argument("--config", required=True, help="the connector's configuration file")
    path = parser.parse_args(arguments).config
    source = SourceAbandonedCarts()
    urls: list[str] = []
    probes: list[SnipcartProbe | RetargetingProbe] = []
    try:
        spec = source.spec(logging.getLogger(__name__)).connectionSpecification
        config = read_config(files.read_config(path), spec)
        if config.snipcart_api_key:
            probes.append(SnipcartProbe(config, urls))
        if config.retargeting_rest_key:
            probes.append(RetargetingProbe(config, urls))
    except AirbyteTracedException as error:
        sys.exit(str(error))
    print(f"This sends at most {MAX_REQUESTS} requests.", flush=True)
    are_complete = [_print_answers(probe) for probe in probes]
    print(f"Requests made: {len(urls)}")
    sys.exit(0 if all(are_complete) else 1)


def _print_answers(probe: SnipcartProbe | RetargetingProbe) -> bool:
    """Print a table of the answers. Return false if a failure ended them early."""
    table = Table("Question", "Answer", "What to set or do", show_lines=True)
    is_complete, has_failed = True, True  # if the first question fails, the others would fail
    for question, find_answer in probe.questions():
        try:
            answer = find_answer()
            has_failed = False
        except CannotTellError as error:
            answer, has_failed = error.answer, False
        except OutOfRequestsError:
            answer = Answer(
                f"cannot tell: the {MAX_REQUESTS} requests were used up",
                f"Run make probe with the key of {probe.name} only.",
            )
        except AirbyteTracedException as error:
            if has_failed or getattr(error, "status", None) == 429:
                what_to_do = "Follow the message, and run make probe again."
                others = f"All further questions about {probe.name}"
                table.add_row(others, f"no answer: {error}", what_to_do)
                is_complete = False
                break
            has_failed = True
            answer = Answer(f"no answer: {error}", "Run make probe again.")
        table.add_row(question, *answer)
    headers = ", ".join(f"{name}: {value}" for name, value in probe.meter.rate_limits.items())
    table.add_row(
        f"Which rate-limit headers does {probe.name} return?",
        headers or "none",
        "Nothing: the connector waits after HTTP 429.",
    )
    Console(markup=False, emoji=False, highlight=False).print(table)
    return is_complete


if __name__ == "__main__":
    for number in (signal.SIGINT, signal.SIGPIPE):
        signal.signal(number, signal.SIG_DFL)  # end without a traceback
    logging.disable(logging.INFO)
    main()
