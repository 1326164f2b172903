"""A tap for Singer's SDK, which reads the connector as Meltano's tap-airbyte does."""

import json
import subprocess
import tempfile
from pathlib import Path

from singer_sdk import Stream, Tap
from singer_sdk.typing import ObjectType, PropertiesList, Property, StringType


class AirbyteStream(Stream):
    """A stream of the connector. Its Singer state holds the connector's state."""

    def __init__(self, tap, stream):
        super().__init__(tap, schema=stream["json_schema"], name=stream["name"])
        self._read, self._stream = tap.messages, stream
        self.primary_keys = [path[0] for path in stream["source_defined_primary_key"]]

    def get_records(self, context):
        modes = {"sync_mode": "incremental", "destination_sync_mode": "append_dedup"}
        files = {"catalog": {"streams": [{"stream": self._stream, **modes}]}}
        if "airbyte" in self.stream_state:
            files["state"] = [self.stream_state["airbyte"]]
        for message in self._read("read", **files):
            if message["type"] == "RECORD":
                yield message["record"]["data"]
            elif message["type"] == "STATE":
                self.stream_state["airbyte"] = message["state"]


class TapAirbyte(Tap):
    name = "tap-airbyte"
    config_jsonschema = PropertiesList(
        Property("executable", StringType), Property("settings", ObjectType())
    ).to_dict()

    def discover_streams(self):
        (catalog,) = (m["catalog"] for m in self.messages("discover") if m["type"] == "CATALOG")
        return [AirbyteStream(self, stream) for stream in catalog["streams"]]

    def messages(self, command, **files):
        """Run a command of the connector, and yield its messages."""
        with tempfile.TemporaryDirectory() as folder:
            arguments = [self.config["executable"], command]
            for name, content in {"config": self.config["settings"], **files}.items():
                path = Path(folder, f"{name}.json")
                path.write_text(json.dumps(content, default=float))  # the SDK reads Decimals
                arguments += [f"--{name}", str(path)]
            output = subprocess.run(arguments, check=True, stdout=subprocess.PIPE).stdout
        yield from map(json.loads, output.splitlines())


if __name__ == "__main__":
    TapAirbyte.cli()
