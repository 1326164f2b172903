import json

import pytest
from airbyte_cdk.models import FailureType
from airbyte_cdk.utils.traced_exception import AirbyteTracedException

from source_abandoned_carts import files

STREAM = {"name": "cart_stats", "json_schema": {}, "supported_sync_modes": ["incremental"]}
CONFIGURED = {"stream": STREAM, "sync_mode": "incremental", "destination_sync_mode": "append"}
SAVED = {"stream_descriptor": {"name": "cart_stats"}, "stream_state": {"date_to": "sesame"}}


@pytest.fixture
def error_of(tmp_path):
    """Return the message of a config_error that quotes nothing of the file."""

    def read(function, content):
        path = tmp_path / "file.json"
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        with pytest.raises(AirbyteTracedException) as raised:
            function(str(path))
        assert raised.value.failure_type == FailureType.config_error
        assert "sesame" not in str(raised.value)
        return str(raised.value).partition("file.json is ")[2]

    return read


@pytest.mark.parametrize("start", [b"", b"\xef\xbb\xbf"], ids=["plain", "byte order mark"])
def test_reads_files_with_and_without_a_byte_order_mark(tmp_path, start):
    path = tmp_path / "file.json"
    for read, value in (
        (files.read_config, {"snipcart_product_id": "é😀"}),
        (files.read_catalog, {"streams": [CONFIGURED]}),
        (files.read_state, [{"type": "STREAM", "stream": SAVED}]),
    ):
        path.write_bytes(start + json.dumps(value, ensure_ascii=False).encode())
        assert read(str(path))


@pytest.mark.parametrize("text", ["[]", "{}", "null"])
def test_empty_state_is_no_state(tmp_path, text):
    (tmp_path / "state.json").write_text(text)
    assert files.read_state(str(tmp_path / "state.json")) == files.read_state(None) == []


@pytest.mark.parametrize(
    ("content", "place", "advice"),
    [
        ('{\n  "a": "sesame",\n}', (3, 1), "Remove the comma before the closing bracket."),
        ("{“a”: 1}", (1, 2), "Write straight double quotes"),
        ('{"a": “sesame”}', (1, 7), "Write straight double quotes"),
        ('{"a": "sesame”,\n"b": 1}', (1, 16), "Write straight double quotes"),
        ('{"a": "sesame”}', (1, 7), "Write straight double quotes"),
        ("{'a': 1}", (1, 2), "Write straight double quotes"),
        ('{"a": 1, // sesame\n"b": 2}', (1, 10), "Remove the comment"),
        ('{"a": True}', (1, 7), "Write true, false and null in lower case."),
        ('{"a": "C:\\sesame"}', (1, 10), "Write a backslash as two"),
        ('{"a": "sesame\n"}', (1, 14), "Remove the line break"),
        ('{"a": "sesame"', (1, 15), "The end of the file is missing."),
        ('{"a": "sesame', (1, 7), "The closing quotes of this text are missing."),
        ('{"a": "sesame"\n "b": 2}', (2, 2), "A comma is missing."),
        ('{"a": 1}}', (1, 9), "Remove what follows the closing bracket"),
        ("", (1, 1), "The file is empty."),
        ("sesame", (1, 1), ""),
        ('{"a": 1}'.encode("utf-16"), (1, 1), "The file is in UTF-16. Save it in UTF-8."),
        ('{"a": 1}'.encode("utf-16-le"), (1, 1), "The file is in UTF-16. Save it in UTF-8."),
        ('{\n"a": "é sesame"}'.encode("latin-1"), (2, 7), "Save the file in UTF-8."),
    ],
)
def test_broken_json_is_refused_with_place_and_cause(error_of, content, place, advice):
    if content == '{\n  "a": "sesame",\n}':
        # Python 3.13 points to the comma.
        assert error_of(files.read_config, content).startswith("not JSON (line ")
    else:
        expected = "not JSON (line {}, column {}).".format(*place)
        assert error_of(files.read_config, content).startswith(expected)
    assert advice in error_of(files.read_config, content)


@pytest.mark.parametrize("content", ["[" * 100_000, "9" * 5_000, '"sesame"', '["sesame"]'])
def test_other_json_is_no_configuration(error_of, content):
    assert error_of(files.read_config, content).startswith("JSON, but not a configuration.")


@pytest.mark.parametrize(
    ("value", "place"),
    [
        ([CONFIGURED], "A field"),
        ({"type": "CATALOG", "catalog": {"streams": []}}, "The field streams is missing"),
        (
            {"streams": [{**CONFIGURED, "destination_sync_mode": "overwrite_dedup"}]},
            "The field streams.0.destination_sync_mode is missing or has a wrong value.",
        ),
        (
            {"streams": [{**CONFIGURED, "stream": {"name": "sesame"}}]},
            "The field streams.0.stream.json_schema is missing",
        ),
    ],
)
def test_other_json_is_no_catalog(error_of, value, place):
    message = error_of(files.read_catalog, json.dumps(value))
    assert message.startswith(f"JSON, but not a catalog. {place}")


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ({"type": "STREAM", "stream": SAVED}, "It must be a list of states."),
        ({"cart_stats": {"date_to": "sesame"}}, "It must be a list of states."),
        (["sesame"], "A field"),
        ([{"type": "stream", "stream": SAVED}], "The field type is missing or has a wrong value."),
        ([{"type": "STATE", "state": {"type": "STREAM", "stream": SAVED}}], "The field type"),
        ([{"type": "GLOBAL", "global": {"stream_states": [SAVED]}}], "Each state must have"),
        ([{"type": "LEGACY", "data": {"cart_stats": {}}}], "Each state must have"),
        (
            [{"type": "STREAM", "stream": {**SAVED, "stream_state": ["sesame"]}}],
            "The field stream.",
        ),
    ],
)
def test_other_json_is_no_state(error_of, value, reason):
    message = error_of(files.read_state, json.dumps(value))
    assert message.startswith(f"JSON, but not a state. {reason}")


def test_missing_file_is_named(tmp_path):
    with pytest.raises(AirbyteTracedException, match=r"none\.json cannot be read: No such file"):
        files.read_config(str(tmp_path / "none.json"))


def test_refuses_constants_that_are_not_json(error_of):
    message = error_of(files.read_config, '{\n"sesame": NaN}')
    assert message == "not JSON (line 2, column 11). NaN is not JSON. Write a number."


@pytest.mark.parametrize("content", ["0", "false", '""'])
def test_refuses_values_that_are_no_states(error_of, content):
    assert "It must be a list of states." in error_of(files.read_state, content)
