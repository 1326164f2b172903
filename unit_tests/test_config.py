import pytest
from airbyte_cdk.models import FailureType
from airbyte_cdk.utils.traced_exception import AirbyteTracedException

from .helpers import make_config


def test_optional_settings_have_defaults():
    config = make_config(snipcart_minimal_value=0)
    assert config.start == "2024-01-01T00:00:00Z"
    assert config.filters == {"timeRange": "Anytime", "minimalValue": "0"}
    assert (config.page_size, config.full_scan_hours) == (None, 0)
    assert (config.window_days, config.lookback_days) == (30, 30)


def test_filters_have_the_names_of_the_api():
    config = make_config(
        start_date="2024-01-31T10:20:30Z",
        snipcart_time_range="LessThanADay",
        snipcart_minimal_value=20.0,
        snipcart_email="a@b.example",
        snipcart_product_id="42",
        snipcart_campaign_id="é😀",
        snipcart_departed_carts=True,
        retargeting_window_days=1.0,
    )
    assert config.filters == {
        "timeRange": "LessThanADay",
        "minimalValue": "20",
        "email": "a@b.example",
        "productId": "42",
        "campaignId": "é😀",
    }
    assert (config.start, config.window_days) == ("2024-01-31T10:20:30Z", 1)
    assert config.departed_carts is True


@pytest.mark.parametrize("value", [None, "", "  "])
def test_empty_setting_counts_as_missing(value):
    only_snipcart = make_config(retargeting_rest_key=None)
    assert make_config(snipcart_email=value, retargeting_rest_key=value) == only_snipcart


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("start_date", None, "is missing"),
        ("start_date", "31.01.2024", "YYYY-MM-DD"),
        ("start_date", "2024-02-30", "an existing date in 1970 or later"),
        ("snipcart_api_key", 5, "must be text."),
        ("snipcart_departed_carts", 1, "must be true or false."),
        ("snipcart_api_key", "\ud83d", "text"),
        ("snipcart_time_range", "anytime", "one of Anytime, LessThan4Hours"),
        ("snipcart_minimal_value", -0.01, "a number from 0 to 1000000000"),
        ("snipcart_minimal_value", float("inf"), "a number from 0 to 1000000000"),
        ("snipcart_page_size", 0, "a whole number from 1 to 500"),
        ("snipcart_page_size", 50.5, "a whole number from 1 to 500"),
        ("snipcart_full_scan_hours", 721, "a whole number from 0 to 720"),
        ("retargeting_window_days", True, "a whole number from 1 to 30"),
        ("retargeting_lookback_days", -1, "a whole number from 0 to 365"),
    ],
)
def test_error_names_the_invalid_setting(name, value, reason):
    with pytest.raises(AirbyteTracedException) as raised:
        make_config(**{name: value})
    assert raised.value.failure_type == FailureType.config_error
    assert f"({name})" in str(raised.value)
    assert reason in str(raised.value)


def test_requires_at_least_one_key():
    with pytest.raises(AirbyteTracedException, match=r"snipcart_api_key.*retargeting_rest_key"):
        make_config(snipcart_api_key=" ", retargeting_rest_key=None)


def test_repr_shows_neither_keys_nor_filters():
    text = repr(make_config(snipcart_api_key="sesame", snipcart_email="ann@shop.example"))
    assert "sesame" not in text
    assert "ann" not in text


def test_fingerprint_depends_on_the_filters_only():
    same = make_config(snipcart_page_size=7, start_date="2020-01-01", snipcart_api_key="other")
    assert same.fingerprint == make_config().fingerprint
    texts = [{"snipcart_email": "x"}, {"snipcart_product_id": "x"}, {"snipcart_email": "y"}, {}]
    assert len({make_config(**changes).fingerprint for changes in texts}) == 4
