"""All errors that reach the user: what happened, why, and what to do next."""

import traceback

from airbyte_cdk.models import FailureType
from airbyte_cdk.utils.traced_exception import AirbyteTracedException

from .issues import REPORT


class ApiError(AirbyteTracedException):
    """A request failed. `message` says what happened, why, and what to do.

    `status` is the HTTP status, None without a response or if its JSON lacks fields. `wait` is
    Retry-After in seconds, None without a usable one. The client retries only a transient_error.
    """

    def __init__(
        self,
        message: str,
        failure_type: FailureType,
        status: int | None = None,
        wait: float | None = None,
    ) -> None:
        super().__init__(message, message, failure_type)
        self.status = status
        self.wait = wait

    @property
    def reason(self) -> str:
        """A short reason, for logs about failures that the connector works around."""
        return f"HTTP {self.status}" if self.status else "no usable response"


def config_error(message: str) -> AirbyteTracedException:
    """Return an error that the user can fix, in the settings or in a file."""
    return AirbyteTracedException(message, message, FailureType.config_error)


def system_error(message: str) -> AirbyteTracedException:
    """Return an error that neither the user nor another attempt can fix."""
    return AirbyteTracedException(message, message, FailureType.system_error)


def unexpected_error(where: str, error: Exception) -> AirbyteTracedException:
    """Describe a defect of the connector without the error's text, which may quote customers."""
    return AirbyteTracedException(
        message=f"{where} stopped because of a defect in the connector ({type(error).__name__}). "
        f"{REPORT}",
        internal_message="".join(traceback.format_tb(error.__traceback__)),
    )
