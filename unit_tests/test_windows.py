import itertools

import pytest

from source_abandoned_carts.windows import DAY, Window, windows

START = 1_704_067_200  # 2024-01-01T00:00:00Z


@pytest.mark.parametrize("days", [1, 7, 30])
@pytest.mark.parametrize("length", [0, 1, DAY - 1, DAY, 30 * DAY, 400 * DAY + 12345])
def test_windows_cover_each_second_once(days, length):
    found = list(windows(START, days, START + length, START))
    assert (found[0].first, found[-1].last) == (START, START + length)
    for window, next_window in itertools.pairwise(found):
        assert window.last - window.first == days * DAY - 1
        assert next_window.first == window.last + 1
    assert found[-1].last - found[-1].first < days * DAY


@pytest.mark.parametrize(("since", "first_day"), [(-1, 0), (7 * DAY - 1, 0), (7 * DAY, 7)])
def test_begins_with_the_window_that_contains_a_second(since, first_day):
    first = START + first_day * DAY
    found = next(windows(START, 7, START + 99 * DAY, START + since))
    assert found == Window(first, first + 7 * DAY - 1)
    assert list(windows(START, 7, START - 1, START)) == []
