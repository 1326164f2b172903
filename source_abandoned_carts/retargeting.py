"""Retargeting's API of cart statistics.

Source: Retargeting's documentation, "API For Partners", "Shopping Carts", GET /shopping-carts.
"""

import re
from dataclasses import dataclass
from typing import Any

from airbyte_cdk.models import FailureType

from . import json_text
from .http import Answer, ApiError, NoAuth, Patience, Problem, Service, base_url
from .windows import Window

URL_VARIABLE = "RETARGETING_API_URL"
URL = "https://api.retargeting.app/v1/partners-api"

_KEY_PLACE = "Retargeting's dashboard, Settings → Integration → REST API Key"
_ADVICE = dict.fromkeys((401, 403), f"Check the REST API key: copy it again from {_KEY_PLACE}.")


@dataclass(frozen=True)
class Counts:
    """The shopping carts abandoned and recovered in a window, as Retargeting counts them."""

    abandoned: int
    recovered: int


class Retargeting:
    """The cart statistics of one account."""

    def __init__(self, key: str, patience: Patience) -> None:
        self._key = key
        self._service = Service(
            "Retargeting",
            base_url(URL_VARIABLE, URL),
            auth=NoAuth(),
            advice=_ADVICE,
            secret=key,
            patience=patience,
            refusal=_refusal,
        )

    def counts(self, window: Window) -> Counts:
        """Give the counts of a window of at most 30 days.

        Raises ApiError, also for an answer that lacks one of the numbers: never a wrong zero.
        """
        params = {
            "rest_key": self._key,
            "date_from": str(window.first),
            "date_to": str(window.last),
        }
        body = self._service.get("/shopping-carts", params).body
        data = body.get("data")
        data = data if isinstance(data, dict) else {}
        abandoned, recovered = _whole(data.get("abandoned")), _whole(data.get("recovered"))
        if abandoned is None or recovered is None:
            raise ApiError(
                "Retargeting's answer lacks the numbers of abandoned and recovered carts. "
                "Retargeting may have changed its API: please report this to the connector's "
                "maintainers."
            )
        return Counts(abandoned, recovered)


def _refusal(answer: Answer) -> Problem | None:
    """Find the refusals that Retargeting puts into the body, under whatever HTTP status.

    A wrong key and an inactive account come before the status, a passing error and all others
    behind it: None leaves the answer to be judged by its status.
    """
    body = answer.body
    if body is json_text.INVALID or (isinstance(body, dict) and body.get("status") == "success"):
        return None
    # Looked for in the answer as it came: what is fit to be shown may lack what is a key.
    said = answer.text.lower()
    if "incorrect rest key" in said:
        return Problem(
            f"Retargeting does not know the REST API key ({answer.told}). Copy it again from "
            f"{_KEY_PLACE}.",
            FailureType.config_error,
        )
    if "account is not active" in said:
        return Problem(
            f"The Retargeting account is not active ({answer.told}). Retargeting answers only for "
            "accounts that are paid, in payment error or suspended: reactivate the account, or "
            "remove the REST API key from the source's settings.",
            FailureType.config_error,
        )
    if "something went wrong" in said and answer.status not in (401, 403):
        return Problem(
            f"Retargeting could not answer ({answer.told}).", FailureType.transient_error
        )
    if answer.ok:
        return Problem(
            f"Retargeting did not give the cart statistics ({answer.told}). Please report this to "
            "the connector's maintainers."
        )
    return None


def _whole(value: Any) -> int | None:
    """Give a count, also one written as text or with empty decimals; None for all else."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    match = re.fullmatch(r"([0-9]{1,18})(\.0*)?", str(value).strip(), re.ASCII)
    return int(match[1]) if match else None
