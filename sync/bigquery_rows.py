"""Writes rows for BigQuery. In dlt's own files, a JSON column would become a text."""

from collections.abc import Sequence
from typing import Any

import orjson
from dlt.common.data_writers.writers import WRITER_SPECS, ArrowToJsonlWriter, JsonlWriter
from dlt.common.schema.typing import TTableSchemaColumns


class _Writer(ArrowToJsonlWriter):
    """Embeds the text of JSON columns as it is, without parsing it."""

    def write_header(self, columns_schema: TTableSchemaColumns) -> None:
        self._columns = [
            name for name, column in columns_schema.items() if column.get("data_type") == "json"
        ]

    def write_data(self, items: Sequence[Any]) -> None:
        for batch in items:
            rows = batch.to_pylist()
            for row in rows:
                for name in self._columns:
                    if row.get(name) is not None:
                        row[name] = orjson.Fragment(row[name])
            JsonlWriter.write_data(self, rows)


def use() -> None:
    """Let dlt use this writer from now on. dlt has no setting for it."""
    WRITER_SPECS[ArrowToJsonlWriter.writer_spec()] = _Writer
