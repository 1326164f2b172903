"""Whether the settings changed, and what is said of a settings file that cannot be used."""

import hashlib
import json

import pytest

from sync.errors import SyncError
from sync.settings import fingerprints

SETTINGS = {"start_date": "2024-01-01", "snipcart_api_key": "key", "snipcart_page_size": 50}


@pytest.fixture
def path(tmp_path):
    return tmp_path / "config.json"


def current(path, stream="abandoned_carts"):
    return fingerprints(path)[stream][0]


@pytest.mark.parametrize(
    "content",
    [
        json.dumps(SETTINGS, indent=4),
        "\ufeff" + json.dumps(SETTINGS),
        json.dumps(dict(reversed(SETTINGS.items()))),
        json.dumps(SETTINGS | {"snipcart_api_key": " key\n", "snipcart_page_size": 50.0}),
        json.dumps(SETTINGS | {"start_date": "2024-01-01T00:00:00Z"}),
        json.dumps(SETTINGS | {"retargeting_window_days": 30, "snipcart_email": None}),
        json.dumps(SETTINGS | {"comment": "not a setting"}),
    ],
)
def test_settings_written_differently_are_the_same(path, content):
    path.write_text(json.dumps(SETTINGS))
    before = current(path)
    path.write_text(content)
    assert current(path) == before


@pytest.mark.parametrize(
    "change",
    [
        {"snipcart_api_key": "other"},
        {"start_date": "2024-01-02"},
        {"snipcart_email": "a@b.c"},
        {"snipcart_page_size": None},
    ],
)
def test_a_changed_value_is_a_change(path, change):
    path.write_text(json.dumps(SETTINGS))
    before = current(path)
    path.write_text(json.dumps(SETTINGS | change))
    assert current(path) != before


def test_default_of_a_new_setting_is_no_change(path):
    """This fails if fingerprints hold defaults: then each new setting would change them."""
    path.write_text(json.dumps(SETTINGS))
    values = json.dumps(SETTINGS, sort_keys=True).encode()
    assert current(path) == hashlib.sha256(values).hexdigest()[:12]


def test_only_the_key_is_a_change_for_departed_carts(path):
    path.write_text(json.dumps(SETTINGS))
    before = current(path, "departed_carts")
    path.write_text(json.dumps(SETTINGS | {"snipcart_page_size": 20, "snipcart_email": "a@b.c"}))
    assert current(path, "departed_carts") == before
    path.write_text(json.dumps(SETTINGS | {"snipcart_api_key": "other"}))
    assert current(path, "departed_carts") != before


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, r"There is no settings file /.*config\.json\. Write"),
        (b'{"snipcart_api_key": "s3cret",\n}', "is not valid JSON: see line 2, column 1"),
        (b'{"snipcart_email": "\xe9s3cret"}', "is not encoded in UTF-8"),
        (b'["s3cret"]', "must contain an object"),
    ],
)
def test_says_what_to_write_into_the_file(path, content, message):
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(SyncError, match=message) as raised:
        fingerprints(path)
    assert "s3cret" not in str(raised.value)
