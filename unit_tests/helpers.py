"""A valid configuration and a client for the tests."""

from pathlib import Path
from typing import Any

import yaml

from source_abandoned_carts import config
from source_abandoned_carts.http import Client

SPEC_FILE = Path(config.__file__).parent / "spec.yaml"
SPEC: dict[str, Any] = yaml.safe_load(SPEC_FILE.read_text())["connectionSpecification"]
SCHEMA_FILES = sorted(SPEC_FILE.parent.glob("schemas/*.json"))

SETTINGS = {
    "start_date": "2024-01-01",
    "snipcart_api_key": "key",
    "retargeting_rest_key": "rest-key-1",
}


def make_config(**changes: Any) -> config.Config:
    return config.read_config({**SETTINGS, **changes}, SPEC)


class ExampleClient(Client):
    name = "Example"
    advice = {401: "Copy the key again.", 403: "Look at the account."}  # noqa: RUF012
    url_variable = "EXAMPLE_URL"
    default_url = "https://api.example/v1"
