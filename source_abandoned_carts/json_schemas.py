"""The JSON schemas of the streams, from the files in schemas/."""

import json
import pkgutil
from typing import Any

from airbyte_cdk.sources.utils.schema_helpers import expand_refs


def read_schema(stream: str) -> dict[str, Any]:
    """Return a stream's schema without references, because destinations do not resolve them."""
    schema = _read(stream)
    if stream == "departed_carts":
        # An order has the fields of the cart that it was, and those in departed_carts.json.
        cart = schema["properties"]["cart"]
        cart["properties"] = _read("abandoned_carts")["properties"] | cart["properties"]
    return schema


def _read(name: str) -> dict[str, Any]:
    schema: dict[str, Any] = json.loads(pkgutil.get_data(__package__, f"schemas/{name}.json") or "")
    expand_refs(schema)  # the CDK's ResourceSchemaLoader fails in a folder with # in its name
    return schema
