import pytest
from airbyte_cdk.models import FailureType
from airbyte_cdk.utils.traced_exception import AirbyteTracedException

from source_abandoned_carts.config import unknown_settings

from .helpers import SPEC, make_config


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


@pytest.mark.parametrize(
    ("text", "start"),
    [
        ("2024-01-31T00:00:00.000Z", "2024-01-31T00:00:00Z"),
        ("2024-01-31T10:20:30+00:00", "2024-01-31T10:20:30Z"),
        ("2024-01-31T10:20:30.250+00:00", "2024-01-31T10:20:30.25Z"),
    ],
)
def test_start_date_as_other_programs_write_it(text, start):
    assert make_config(start_date=text).start == start


def test_white_space_around_a_key_is_removed():
    config = make_config(snipcart_api_key=" k ey\n", retargeting_rest_key="\t5\r\n")
    assert (config.snipcart_api_key, config.retargeting_rest_key) == ("k ey", "5")


@pytest.mark.parametrize("key", [None, " "])
def test_departed_carts_require_the_snipcart_key(key):
    with pytest.raises(AirbyteTracedException) as raised:
        make_config(snipcart_departed_carts=True, snipcart_api_key=key)
    assert raised.value.failure_type == FailureType.config_error
    assert "(snipcart_departed_carts) needs" in str(raised.value)
    assert "(snipcart_api_key)" in str(raised.value)


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("snipcartApiKey", "snipcart_api_key"),
        ("SNIPCART_API_KEY", "snipcart_api_key"),
        ("api_key", "snipcart_api_key"),
        ("snipcart_secret_key", "snipcart_api_key"),
        ("retargeting_key", "retargeting_rest_key"),
        ("restKey", "retargeting_rest_key"),
        ("start-date", "start_date"),
        ("email", "snipcart_email"),
        ("snipcart_emial", "snipcart_email"),
        ("page_size", "snipcart_page_size"),
        ("window_days", "retargeting_window_days"),
    ],
)
def test_misspelt_setting_is_named_with_the_one_that_was_meant(name, meant):
    (warning,) = unknown_settings({"start_date": "2024-01-01", name: "sesame"}, SPEC)
    assert warning == f"The connector ignores the setting {name}. Did you mean {meant}?"


def test_settings_of_others_are_ignored_without_a_warning():
    settings = {"start_date": "x", "__injected_declarative_manifest": {}, "url": "", "🙂": 1}
    assert list(unknown_settings(settings, SPEC)) == []
    assert "Check its spelling" in next(
        unknown_settings({"snipcart_webhook_subscription_id": 1}, SPEC)
    )


@pytest.mark.parametrize("value", [None, "", "  "])
def test_empty_setting_counts_as_missing(value):
    only_snipcart = make_config(retargeting_rest_key=None)
    assert make_config(snipcart_email=value, retargeting_rest_key=value) == only_snipcart


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("start_date", None, "is missing"),
        ("start_date", "31.01.2024", "YYYY-MM-DD"),
        ("start_date", "2024-01-31T00:00:00+01:00", "YYYY-MM-DD"),
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
