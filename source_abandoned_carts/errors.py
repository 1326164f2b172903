"""Errors as the platform shows them: a sentence for a person, and who can do something about it."""

import traceback

from airbyte_cdk.models import FailureType
from airbyte_cdk.utils.traced_exception import AirbyteTracedException


def config_error(message: str) -> AirbyteTracedException:
    """Return an error that a person can correct, in the settings or in a file."""
    return AirbyteTracedException(
        internal_message=message, message=message, failure_type=FailureType.config_error
    )


def unexpected_error(where: str, error: BaseException) -> AirbyteTracedException:
    """Describe a defect of the connector without the error's text, which may quote customers."""
    kind = type(error).__name__
    return AirbyteTracedException(
        message=f"{where} stopped because of a defect in the connector ({kind}). Report this to "
        "its maintainers, with the log of the sync.",
        internal_message=f"{kind} at\n{''.join(traceback.format_tb(error.__traceback__))}",
        failure_type=FailureType.system_error,
    )
