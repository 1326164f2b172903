"""What the command does: the CDK's entry point, with clean failures."""

import argparse
import logging
import os
import sys
from collections.abc import Iterable, Mapping
from typing import Any

from airbyte_cdk.entrypoint import AirbyteEntrypoint
from airbyte_cdk.logger import PRINT_BUFFER
from airbyte_cdk.models import (
    AirbyteConnectionStatus,
    AirbyteMessage,
    ConnectorSpecification,
    FailureType,
    Status,
    Type,
)
from airbyte_cdk.utils.traced_exception import AirbyteTracedException

from . import engine
from .source import SourceAbandonedCarts

# orjson reads 1,024 levels of nesting and writes fewer; what is deeper, the CDK writes with json,
# which goes as deep as this.
sys.setrecursionlimit(5_000)


class _Entrypoint(AirbyteEntrypoint):
    """The CDK's, but that each check ends in a status and each failure in a clean trace."""

    failed = False

    @staticmethod
    def validate_connection(source_spec: ConnectorSpecification, config: Mapping[str, Any]) -> None:
        """Leave it to the source, whose sentences name the field."""

    @staticmethod
    def set_up_secret_filter(
        config: Mapping[str, Any], connection_specification: Mapping[str, Any]
    ) -> None:
        """Leave it to the source, which knows more forms of a key."""

    def run(self, parsed_args: argparse.Namespace) -> Iterable[str]:
        try:
            if not parsed_args.command:
                raise AirbyteTracedException(
                    message="No command was given: use spec, check, discover or read.",
                    failure_type=FailureType.config_error,
                )
            yield from super().run(parsed_args)
        except Exception as error:
            self.failed = True
            if not isinstance(error, AirbyteTracedException):
                error = engine.defect("The command", error)
            if parsed_args.command == "check":
                # The platform waits for a status even where the settings could not be read.
                status = AirbyteConnectionStatus(status=Status.FAILED, message=str(error))
                yield self.airbyte_message_to_string(
                    AirbyteMessage(type=Type.CONNECTION_STATUS, connectionStatus=status)
                )
            # Not by the CDK's hook, which hides a key in the finished JSON and may break it.
            yield self.airbyte_message_to_string(error.as_sanitized_airbyte_message())


def run() -> None:
    """Run the command that the arguments name; messages go to standard output, a line each."""
    # A log line that cannot be written would be told on standard error, with nothing hidden in it.
    logging.raiseExceptions = False
    logging.captureWarnings(True)  # the CDK leads standard error into standard output
    PRINT_BUFFER.flush_interval = 0.005  # seconds; in the CDK's 0.1 it gathers some 40 MB
    entrypoint = _Entrypoint(SourceAbandonedCarts())
    arguments = entrypoint.parse_args(sys.argv[1:])
    code = 0
    try:
        with PRINT_BUFFER:
            for message in entrypoint.run(arguments):
                sys.stdout.write(f"{message}\n")
        code = 1 if entrypoint.failed else 0
    except BrokenPipeError:
        code = 1  # nobody is there to be told
    except KeyboardInterrupt:
        code = 130
    if code:
        # Threads may still wait, for a service or for a reader that is gone, and Python's own way
        # out would wait for them.
        os._exit(code)
