"""python -m tools.probe --config secrets/config.json; see tools/probe/__init__.py."""

import argparse
import logging
import signal
import sys

from airbyte_cdk.utils.traced_exception import AirbyteTracedException

from source_abandoned_carts import SourceAbandonedCarts
from source_abandoned_carts.config import read_config

from .meter import NO_SETTING, OutOfRequestsError
from .probes import RetargetingProbe, SnipcartProbe

_CANNOT_TELL = "cannot tell from this account"


def main(arguments: list[str] | None = None) -> None:
    """Probe the services that have a key, print a line for each question, and exit."""
    parser = argparse.ArgumentParser(prog="make probe")
    parser.add_argument("--config", required=True, help="the connector's configuration file")
    path = parser.parse_args(arguments).config
    source = SourceAbandonedCarts()
    urls: list[str] = []
    probes: list[SnipcartProbe | RetargetingProbe] = []
    try:
        spec = source.spec(logging.getLogger(__name__)).connectionSpecification
        config = read_config(source.read_config(path), spec)
        if config.snipcart_api_key:
            probes.append(SnipcartProbe(config, urls))
        if config.retargeting_rest_key:
            probes.append(RetargetingProbe(config, urls))
    except (AirbyteTracedException, OSError, ValueError) as error:
        sys.exit(str(error))
    are_complete = [_print_answers(probe) for probe in probes]
    print(f"Requests made: {len(urls)}")
    sys.exit(0 if all(are_complete) else 1)


def _print_answers(probe: SnipcartProbe | RetargetingProbe) -> bool:
    """Print a line for each question. Return false if a failure ended them early."""
    is_complete, has_failed = True, True  # if the first question fails, the others would fail
    for question, setting, find_answer in probe.questions():
        try:
            answer = find_answer() or _CANNOT_TELL
            has_failed = False
        except OutOfRequestsError:
            answer = f"{_CANNOT_TELL}: too few requests were left"
        except AirbyteTracedException as error:
            if has_failed or getattr(error, "status", None) == 429:
                print(f"{probe.name}: no further answers: {error}")
                is_complete = False
                break
            has_failed = True
            answer = f"no answer: {error}"
        print(f"{probe.name}: {question} | {answer} | {setting}", flush=True)
    headers = ", ".join(f"{name}: {value}" for name, value in probe.meter.rate_limits.items())
    question = "Which rate-limit headers does the service return?"
    print(f"{probe.name}: {question} | {headers or 'none'} | {NO_SETTING}", flush=True)
    return is_complete


if __name__ == "__main__":
    for number in (signal.SIGINT, signal.SIGPIPE):
        signal.signal(number, signal.SIG_DFL)  # end without a traceback
    logging.disable(logging.INFO)
    main()
