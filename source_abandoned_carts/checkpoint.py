"""What a stream gives between its records to say how far it has come."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Checkpoint:
    """A state that covers all records given before it."""

    state: Mapping[str, Any]
