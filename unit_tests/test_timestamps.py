import pytest

from source_abandoned_carts.timestamps import from_epoch, sort_key, to_epoch, to_rfc3339


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("2016-11-08T17:15:12.1234567Z", "2016-11-08T17:15:12.1234567Z"),
        ("2016-11-08T17:15", "2016-11-08T17:15:00Z"),
        ("2016-11-08", "2016-11-08T00:00:00Z"),
        (" 2016-11-08 17:15:12,25\n", "2016-11-08T17:15:12.25Z"),
        ("2016-11-08T17:15:12.500+02:00", "2016-11-08T15:15:12.500Z"),
        ("2016-12-31T23:30:00-02", "2017-01-01T01:30:00Z"),
        ("2016-02-29T00:00:00Z", "2016-02-29T00:00:00Z"),
        ("1969-12-31T23:59:59-01:00", "1970-01-01T00:59:59Z"),
        (1579715005.25, "2020-01-22T17:43:25.25Z"),
        (253402300799, "9999-12-31T23:59:59Z"),
    ],
)
def test_converts_a_date_to_rfc_3339_in_utc(value, text):
    assert to_rfc3339(value) == text


@pytest.mark.parametrize(
    "value",
    [
        None, True, "", "soon", [], {}, "0001-01-01T00:00:00", "0001-01-01T00:00:00Z", "-1", -0.5,
        "1969-12-31T23:59:59.9999999Z", "1970-01-01T00:00:00+01:00", "2016-13-01T00:00:00Z",
        "2015-02-29T00:00:00Z", "2016-11-08T24:00:00Z", "2016-11-08T17:15:12+5",
        "9999-12-31T23:59:59-00:01", 253402300800, "9" * 5000, float("nan"), float("inf"),
        "12:04:23", "2016-W45-2", "٢٠١٦-11-08T17:15:12Z", "2016-11-08T17:15:12ZZ",
    ],
    ids=lambda value: repr(value)[:30],
)  # fmt: skip
def test_returns_none_for_invalid_dates_and_before_1970(value):
    assert to_rfc3339(value) is None


def test_reads_and_writes_unix_seconds():
    assert from_epoch(1709251199) == "2024-02-29T23:59:59Z"
    assert to_epoch("2024-02-29T23:59:59.9Z") == 1709251199


def test_sort_keys_have_the_order_of_instants():
    fractions = ["00", "00.05", "00.5", "00.59", "00.9", "01", "01.0000001"]
    keys = [sort_key(f"2024-01-01T00:00:{fraction}Z") for fraction in fractions]
    assert keys == sorted(set(keys))
    assert sort_key("2024-01-01T00:00:00.50Z") == keys[2]
    assert sort_key("2024-01-01T00:00:00.000Z") == keys[0]
