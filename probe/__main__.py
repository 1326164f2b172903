"""python -m probe --config secrets/config.json; see __init__.py."""

import argparse
import logging
import os
import sys
from collections.abc import Iterator

from airbyte_cdk.utils.traced_exception import AirbyteTracedException

from source_abandoned_carts import SourceAbandonedCarts, retargeting, snipcart
from source_abandoned_carts.config import Config, ConfigError, read_config
from source_abandoned_carts.http import base_url

from .client import NO_SETTING, Client, Question, UnansweredError, answered
from .retargeting import Retargeting
from .snipcart import Snipcart


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
    services: dict[str, Iterator[Question]] = {}
    if key := settings.snipcart_api_key:
        services["Snipcart"] = Snipcart(client, snipcart_url, key).questions()
    if key := settings.retargeting_rest_key:
        services["Retargeting"] = Retargeting(client, retargeting_url, key).questions()
    ended_well = [_print(name, questions, client) for name, questions in services.items()]
    print(f"Requests made: {client.made}")
    sys.exit(0 if all(ended_well) else 1)


def _print(service: str, questions: Iterator[Question], client: Client) -> bool:
    """Print a line for each question, and tell whether the service answered to the end."""

    def line(question: str, answer: str, setting: str) -> None:
        print(f"{service}: {question} | {answer} | {setting}", flush=True)

    ended_well = True
    try:
        for question, answer in answered(questions):
            line(question.text, answer, question.setting)
    except UnansweredError as error:
        ended_well = False
        print(
            f"{service}: no further answers: {error}. The connector's command check, with the same "
            "settings, says what to do."
        )
    line("Which headers tell of a rate limit?", client.take_limit_headers(), NO_SETTING)
    return ended_well


def _settings(path: str) -> Config:
    source = SourceAbandonedCarts()
    form = source.spec(logging.getLogger()).connectionSpecification
    return read_config(source.read_config(path), form)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:
        os._exit(1)  # nobody is there to be told
