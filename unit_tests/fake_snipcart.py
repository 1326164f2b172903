"""Snipcart's API as the streams use it, with carts in memory."""

from collections.abc import Iterator
from typing import Any

from airbyte_cdk.models import FailureType

from source_abandoned_carts.errors import ApiError
from source_abandoned_carts.http import Clock
from source_abandoned_carts.snipcart import Page
from source_abandoned_carts.timestamps import from_epoch

LISTED, HIDDEN, FINISHED, GONE = "listed", "hidden", "finished", "gone"


class FakeSnipcart:
    """Carts by their tokens, each with an outcome: LISTED, or what became of it.

    A page's continuation token is its index. Tests change the attributes between syncs.
    """

    def __init__(self, carts: dict[str, str]) -> None:
        self.carts = carts
        self.dates: dict[str, int] = {}  # when carts were modified, in Unix seconds
        self.missed: set[str] = set()  # tokens that moved between pages during the scan
        self.listed_again = ""  # tokens that moved to a later page
        self.failures: dict[str, FailureType] = {}  # by the token of a cart or a page
        self.now = 1_700_000_000
        self.seconds_per_page = 0
        self.sends_date = True  # or the clock is the local one
        self.scans: list[str | None] = []  # the token or else the time range of each scan
        self.requested: list[str] = []  # tokens of single carts, since the scan

    def listed_pages(self) -> list[list[dict[str, Any]]]:
        """Return the pages of the list."""
        listed = [token for token, outcome in self.carts.items() if outcome == LISTED]
        tokens = [token for token in [*listed, *self.listed_again] if token not in self.missed]
        carts = [
            {
                "token": token,
                "modificationDate": from_epoch(self.dates[token]) if token in self.dates else None,
            }
            for token in tokens
        ]
        return [carts[:3], carts[3:]]

    def pages(self, token: str | None = None, time_range: str | None = None) -> Iterator[Page]:
        self.scans.append(token or time_range)
        self.requested = []
        self._fail(token)
        pages = self.listed_pages()
        for index in range(int(token or 0), len(pages)):
            next_token = str(index + 1) if index + 1 < len(pages) else None
            received_at = self.now + self.seconds_per_page
            yield Page(
                pages[index], next_token, Clock(self.now, received_at, self.sends_date, self.now)
            )
            self.now = received_at

    def cart(self, token: str) -> dict[str, Any] | None:
        self.requested.append(token)
        self._fail(token)
        assert self.carts[token] != LISTED or token in self.missed
        if self.carts[token] == GONE:
            return None
        status = "Processed" if self.carts[token] == FINISHED else "InProgress"
        return {"token": token, "status": status}

    def _fail(self, token: str | None) -> None:
        if token in self.failures:
            raise ApiError("No.", self.failures[token])
