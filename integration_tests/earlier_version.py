"""python -m integration_tests.earlier_version FIELD …: sync abandoned_carts without a field."""

import sys
from typing import Any

from sync import __main__ as program
from sync.connector import Connector


def main() -> None:
    field = sys.argv.pop(1)
    discover = Connector.discover

    def discover_less(connector: Connector) -> dict[str, dict[str, Any]]:
        streams = discover(connector)
        del streams["abandoned_carts"]["json_schema"]["properties"][field]
        return streams

    Connector.discover = discover_less  # type: ignore[assignment,method-assign]
    program.main()


if __name__ == "__main__":
    main()
