"""Sync with PyAirbyte into PostgreSQL. Arguments: the connector, its settings, port, password."""

import json
import sys

import airbyte

executable, settings, port, password = sys.argv[1:]
source = airbyte.get_source(
    "source-abandoned-carts",
    local_executable=executable,
    config=json.loads(settings),
    streams=["abandoned_carts"],
)
cache = airbyte.caches.PostgresCache(
    host="127.0.0.1", port=int(port), username="owner", password=password, database="postgres"
)
source.read(cache=cache)
