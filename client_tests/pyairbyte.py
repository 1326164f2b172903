"""Sync with PyAirbyte into a DuckDB file. Arguments: the connector, its settings, and the file."""

import json
import sys

import airbyte

executable, settings, database = sys.argv[1:]
source = airbyte.get_source(
    "source-abandoned-carts",
    local_executable=executable,
    config=json.loads(settings),
)
source.select_all_streams()
source.read(cache=airbyte.caches.DuckDBCache(db_path=database, schema_name="main"))
