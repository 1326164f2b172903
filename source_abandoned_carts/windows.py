"""Time windows for the statistics, in Unix seconds."""

from collections.abc import Iterator
from dataclasses import dataclass

DAY = 86_400


@dataclass(frozen=True)
class Window:
    """The seconds from `first` to `last`, both included, as Unix seconds."""

    first: int
    last: int


def windows(start: int, days: int, now: int, since: int) -> Iterator[Window]:
    """Yield windows of `days` days up to `now`, beginning with the one that contains `since`.

    They are aligned to `start`, so that their first seconds, the primary keys, stay the same.
    """
    size = days * DAY
    past = max(0, (since - start) // size)
    for first in range(start + past * size, now + 1, size):
        yield Window(first, min(first + size - 1, now))
