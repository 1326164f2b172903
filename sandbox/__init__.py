"""Snipcart's and Retargeting's APIs on this machine, for the demo and the tests.

Made from the two services' documents alone, and from nothing the connector believes about them.
"""

from .data import Cart, make_carts, make_events
from .server import Fault, Request, Sandbox

__all__ = ["Cart", "Fault", "Request", "Sandbox", "make_carts", "make_events"]
