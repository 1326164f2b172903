"""Airbyte source connector for abandoned carts: Snipcart and Retargeting."""

from .source import SourceAbandonedCarts

__all__ = ["SourceAbandonedCarts"]
