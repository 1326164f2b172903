import itertools

import pytest

from source_abandoned_carts.windows import DAY, Window, windows

START = 1_704_067_200  # 2024-01-01T00:00:00Z


@pytest.mark.parametrize("days", [1, 7, 29, 30])
@pytest.mark.parametrize("length", [0, 1, DAY - 1, DAY, 30 * DAY, 400 * DAY + 12345])
def test_windows_tile_time_from_the_start_to_now(days, length):
    now = START + length
    found = list(windows(START, days, now))
    assert found[0].first == START
    assert found[-1].last == now
    for window, following in itertools.pairwise(found):
        assert window.last - window.first == days * DAY - 1
        assert following.first == window.last + 1
    assert found[-1].last - found[-1].first < days * DAY


@pytest.mark.parametrize(
    ("since", "first"),
    [
        (START - 1, START),
        (START, START),
        (START + 7 * DAY - 1, START),
        (START + 7 * DAY, START + 7 * DAY),
        (START + 29 * DAY, START + 28 * DAY),
    ],
)
def test_windows_begin_with_the_one_that_holds_since(since, first):
    assert next(windows(START, 7, START + 99 * DAY, since)) == Window(first, first + 7 * DAY - 1)


def test_a_start_in_the_future_has_no_windows():
    assert list(windows(START, 7, START - 1)) == []
