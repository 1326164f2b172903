"""Retargeting's API. Its documentation: "API For Partners", GET /shopping-carts."""

import re
import time
from collections.abc import Mapping
from typing import Any, NamedTuple

from airbyte_cdk.models import FailureType

from .config import Config
from .errors import ApiError
from .http import Client, Clock, RetryPolicy, Session
from .issues import REPORT
from .responses import error_texts
from .timestamps import from_epoch
from .windows import DAY, Window


class Counts(NamedTuple):
    """How many carts were abandoned and recovered in a window, and when the response came."""

    abandoned: int
    recovered: int
    clock: Clock


class Retargeting(Client):
    """The cart statistics of one account. The credential is a parameter of each request."""

    name = "Retargeting"
    advice = {  # noqa: RUF012
        401: "Copy the REST API key again from Retargeting's dashboard, Settings → Integration.",
        403: "Reactivate the account, or remove its key. If it is active, ask Retargeting.",
    }
    url_variable = "RETARGETING_API_URL"
    default_url = "https://api.retargeting.app/v1/partners-api"

    def __init__(self, config: Config, policy: RetryPolicy, session: Session | None = None) -> None:
        super().__init__(config.retargeting_rest_key or "", policy, session=session)

    def check(self) -> None:
        """Request the counts of the last day; raise ApiError if that fails."""
        now = int(time.time())
        self.counts(Window(now - DAY, now))

    def counts(self, window: Window) -> Counts:
        """Return the counts of a window, for which the API allows at most 30 days.

        Raises ApiError, also if a count is missing or is not a whole number.
        """
        params = {"date_from": str(window.first), "date_to": str(window.last)}
        content, clock = self.get("/shopping-carts", {"rest_key": self.secret, **params})
        data = content.get("data")
        data = data if isinstance(data, dict) else {}
        abandoned, recovered = _count(data.get("abandoned")), _count(data.get("recovered"))
        if abandoned is None or recovered is None:
            raise ApiError(
                "Retargeting's response lacks two whole numbers, “abandoned” and “recovered”. "
                f"The API may have changed. {REPORT}",
                FailureType.system_error,
            )
        return Counts(abandoned, recovered, clock)

    def describe(self, path: str, params: Mapping[str, str]) -> str:
        """Describe a request for --debug."""
        first, last = (from_epoch(int(params[name])) for name in ("date_from", "date_to"))
        return f"{path}, {first} to {last}"

    def effective_status(self, status: int, content: Any) -> int:
        """Map an error that Retargeting reports in the body to an HTTP status."""
        text = "; ".join(error_texts(content)).lower()
        if isinstance(content, dict) and content.get("status") == "success":
            return status
        if "incorrect rest key" in text:
            return 401
        if "account is not active" in text:
            return 403
        if "something went wrong" in text and status not in (401, 403):
            return 503
        return 400 if 200 <= status < 300 else status


def _count(value: Any) -> int | None:
    """Return a count, which may be a text or end in ".0"; None for anything else."""
    match = re.fullmatch(r"([0-9]{1,18})(\.0*)?", str(value).strip())
    return int(match[1]) if match else None
