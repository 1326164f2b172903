"""Airbyte source connector for abandoned carts: Snipcart and Retargeting."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .source import SourceAbandonedCarts

__all__ = ["SourceAbandonedCarts"]


def __getattr__(name: str) -> Any:
    """Import the source when it is first used, so that the command handles signals before."""
    if name != "SourceAbandonedCarts":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from .source import SourceAbandonedCarts  # noqa: PLC0415

    return SourceAbandonedCarts
