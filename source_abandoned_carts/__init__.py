"""Airbyte source connector for abandoned carts: Snipcart and Retargeting."""

from typing import Any

__all__ = ["SourceAbandonedCarts"]


def __getattr__(name: str) -> Any:
    """Import the source lazily, so that run() can install signal handlers first."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from . import source  # noqa: PLC0415

    return source.SourceAbandonedCarts
