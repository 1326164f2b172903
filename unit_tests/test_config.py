from pathlib import Path

import pytest
import yaml

from source_abandoned_carts.config import ConfigError, read_config

SPEC = Path(__file__).parents[1] / "source_abandoned_carts" / "spec.yaml"
FORM = yaml.safe_load(SPEC.read_text())["connectionSpecification"]
LEAST = {"start_date": "2024-01-31", "snipcart_api_key": "key"}


def read(**changes):
    return read_config({**LEAST, **changes}, FORM)


def test_the_least_that_is_needed_gives_the_defaults():
    config = read()
    assert config.start == "2024-01-31T00:00:00Z"
    assert (config.snipcart_api_key, config.retargeting_rest_key) == ("key", None)
    assert config.filters == {"timeRange": "Anytime"}
    assert (config.page_size, config.full_scan_hours) == (50, 0)
    assert (config.window_days, config.lookback_days) == (30, 30)


def test_all_settings_are_read():
    config = read(
        start_date="2024-01-31T10:20:30Z",
        snipcart_time_range="LessThanADay",
        snipcart_minimal_value=12.5,
        snipcart_email="a@b.example",
        snipcart_product_id="42",
        snipcart_campaign_id="c",
        snipcart_page_size=500,
        snipcart_full_scan_hours=720,
        retargeting_rest_key="rest",
        retargeting_window_days=1.0,
        retargeting_lookback_days=0,
        somebody_elses="ignored",
    )
    assert config.start == "2024-01-31T10:20:30Z"
    assert config.filters == {
        "timeRange": "LessThanADay",
        "minimalValue": "12.5",
        "email": "a@b.example",
        "productId": "42",
        "campaignId": "c",
    }
    assert (config.page_size, config.full_scan_hours) == (500, 720)
    assert (config.window_days, config.lookback_days) == (1, 0)
    assert config.keys == ["key", "rest"]


@pytest.mark.parametrize("value", [None, "", "  "])
def test_an_optional_field_left_empty_is_not_filled_in(value):
    config = read(
        snipcart_email=value, snipcart_time_range=value, snipcart_page_size=None,
        retargeting_rest_key=value,
    )  # fmt: skip
    assert config == read()


@pytest.mark.parametrize(
    ("value", "sent"), [(0, "0"), (20, "20"), (20.0, "20"), (0.5, "0.5"), (100.0, "100")]
)
def test_the_minimal_value_is_sent_as_a_plain_decimal(value, sent):
    assert read(snipcart_minimal_value=value).filters["minimalValue"] == sent


@pytest.mark.parametrize(
    ("field", "value", "word"),
    [
        ("start_date", None, "must be filled in"),
        ("start_date", 20240131, "YYYY-MM-DD"),
        ("start_date", "31.01.2024", "YYYY-MM-DD"),
        ("start_date", "2024-02-30", "a day that exists"),
        ("start_date", "2024-01-31T25:00:00Z", "a day that exists"),
        ("start_date", "2024-01-31\n", "YYYY-MM-DD"),
        ("start_date", "1969-12-31", "from 1970 on"),
        ("start_date", "٢٠٢٤-01-31", "YYYY-MM-DD"),
        ("snipcart_api_key", 5, "text"),
        ("snipcart_api_key", "\ud83d", "text"),
        ("retargeting_rest_key", {"a": 1}, "text"),
        ("snipcart_time_range", "anytime", "one of Anytime, LessThan4Hours"),
        ("snipcart_minimal_value", "20", "a number, 0 or more"),
        ("snipcart_minimal_value", -0.01, "a number, 0 or more"),
        ("snipcart_minimal_value", True, "a number"),
        ("snipcart_minimal_value", float("nan"), "a number"),
        ("snipcart_minimal_value", float("inf"), "a number"),
        ("snipcart_email", ["a"], "text"),
        ("snipcart_page_size", 0, "a whole number from 1 to 500"),
        ("snipcart_page_size", 50.5, "a whole number from 1 to 500"),
        ("snipcart_full_scan_hours", 721, "a whole number from 0 to 720"),
        ("retargeting_window_days", 31, "a whole number from 1 to 30"),
        ("retargeting_window_days", True, "a whole number from 1 to 30"),
        ("retargeting_lookback_days", -1, "a whole number from 0 to 365"),
    ],
)
def test_what_cannot_work_is_refused_with_a_sentence_that_names_the_field(field, value, word):
    with pytest.raises(ConfigError) as refusal:
        read(**{field: value})
    assert f"({field})" in str(refusal.value)
    assert word in str(refusal.value)
    assert str(refusal.value).endswith(".")


def test_one_key_at_least_is_needed():
    with pytest.raises(ConfigError, match=r"snipcart_api_key.*retargeting_rest_key"):
        read(snipcart_api_key=" ")
    assert read(snipcart_api_key=None, retargeting_rest_key="rest").keys == ["rest"]


def test_keys_and_filters_do_not_show_in_a_repr():
    text = repr(read(snipcart_api_key="sesame", snipcart_email="ann@shop.example"))
    assert "sesame" not in text
    assert "ann" not in text


def test_the_fingerprint_tells_filters_apart_and_nothing_else():
    assert read().fingerprint == read(snipcart_page_size=7, start_date="2020-01-01").fingerprint
    assert read().fingerprint != read(snipcart_email="a@b.example").fingerprint
    assert read(snipcart_email="x").fingerprint != read(snipcart_product_id="x").fingerprint
