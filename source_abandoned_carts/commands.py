"""Run the commands of the Airbyte protocol, and report failures as readable messages.

This replaces AirbyteEntrypoint.run, which leaves a temporary folder behind when a signal ends it,
can end a check without a status, and writes each record by itself.
"""

import argparse
import logging
from collections.abc import Iterator

from airbyte_cdk.logger import is_platform_debug_log_enabled
from airbyte_cdk.models import AirbyteConnectionStatus, AirbyteMessage, Status, Type
from airbyte_cdk.utils.airbyte_secrets_utils import filter_secrets
from airbyte_cdk.utils.traced_exception import AirbyteTracedException

from . import files
from .engine import RecordLines
from .errors import config_error, unexpected_error
from .output import write, write_message
from .source import SourceAbandonedCarts


def run(arguments: argparse.Namespace) -> bool:
    """Write the messages of a command, one JSON object per line. Return whether it succeeded."""
    try:
        for message in _messages(arguments):
            if isinstance(message, RecordLines):
                write(message.lines)
            else:
                write_message(message)
    except Exception as error:
        if not isinstance(error, AirbyteTracedException):
            error = unexpected_error("The command", error)
        if arguments.command == "check":
            text = filter_secrets(str(error))
            status = AirbyteConnectionStatus(status=Status.FAILED, message=text)
            write_message(AirbyteMessage(type=Type.CONNECTION_STATUS, connectionStatus=status))
        write_message(error.as_sanitized_airbyte_message())
        return False
    return True


def _messages(arguments: argparse.Namespace) -> Iterator[RecordLines | AirbyteMessage]:
    source = SourceAbandonedCarts()
    logger = logging.getLogger("airbyte")
    if arguments.command is None:
        raise config_error("No command was given. Use spec, check, discover or read.")
    if arguments.debug or is_platform_debug_log_enabled():
        logger.setLevel(logging.DEBUG)
    spec = source.spec(logger)
    if arguments.command == "spec":
        yield AirbyteMessage(type=Type.SPEC, spec=spec)
        return
    config = files.read_config(arguments.config)
    if arguments.command == "check":
        status = source.check(logger, config)
        yield AirbyteMessage(type=Type.CONNECTION_STATUS, connectionStatus=status)
    elif arguments.command == "discover":
        yield AirbyteMessage(type=Type.CATALOG, catalog=source.discover(logger, config))
    else:
        catalog = files.read_catalog(arguments.catalog)
        state = files.read_state(arguments.state)
        yield from source.read_pages(logger, config, catalog, state)
