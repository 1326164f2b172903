"""Serves Snipcart's and Retargeting's APIs on this machine, for the demo and the tests.

The sandbox follows the documentation of both services. It shares no code with the connector, so a
mistake in the connector is not repeated here.
"""

from .data import Cart, make_carts, make_events
from .server import Fault, Request, Sandbox

__all__ = ["Cart", "Fault", "Request", "Sandbox", "make_carts", "make_events"]
