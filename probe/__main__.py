"""python -m probe --config secrets/config.json; see __init__.py."""

import argparse
import logging
import sys
from collections.abc import Iterator

from airbyte_cdk.utils.traced_exception import AirbyteTracedException

from source_abandoned_carts import SourceAbandonedCarts, retargeting, snipcart
from source_abandoned_carts.config import Config, ConfigError, read_config
from source_abandoned_carts.http import base_url

from .client import Client, Finding, UnansweredError
from .retargeting import Retargeting
from .snipcart import Snipcart

CANNOT_TELL = "cannot tell from this account"


def main() -> None:
    """Ask the services that have a key, and print a line for each question."""
    parser = argparse.ArgumentParser(prog="make probe")
    parser.add_argument("--config", required=True, help="the connector's settings")
    path = parser.parse_args().config
    logging.disable(logging.INFO)
    try:
        settings = _settings(path)
        snipcart_url = base_url(snipcart.URL_VARIABLE, snipcart.URL)
        retargeting_url = base_url(retargeting.URL_VARIABLE, retargeting.URL)
    except (AirbyteTracedException, ConfigError) as error:
        sys.exit(str(error))
    client = Client()
    services: dict[str, Iterator[Finding]] = {}
    if key := settings.snipcart_api_key:
        services["Snipcart"] = Snipcart(client, snipcart_url, key).findings()
    if key := settings.retargeting_rest_key:
        services["Retargeting"] = Retargeting(client, retargeting_url, key).findings()
    ended_well = [_print(name, findings) for name, findings in services.items()]
    print(f"{client.made} requests were made.")
    sys.exit(0 if all(ended_well) else 1)


def _print(service: str, findings: Iterator[Finding]) -> bool:
    """Print what is found, and tell whether the service answered to the end."""
    try:
        for found in findings:
            answer = found.answer or CANNOT_TELL
            print(f"{service}: {found.question} | {answer} | {found.setting}", flush=True)
    except UnansweredError as error:
        print(f"{service}: no further answers: {error}.", flush=True)
        return False
    return True


def _settings(path: str) -> Config:
    source = SourceAbandonedCarts()
    form = source.spec(logging.getLogger()).connectionSpecification
    return read_config(source.read_config(path), form)


if __name__ == "__main__":
    main()
