"""What a stream gives: its records, and between them how far it has come."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Checkpoint:
    """A state that covers all records given before it."""

    state: Mapping[str, Any]


Items = Iterator[list[dict[str, Any]] | Checkpoint]
"""Records, a page at a time, and checkpoints."""
