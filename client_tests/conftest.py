"""Refuse to test an installed package that is not the checkout's."""

from integration_tests.conftest import pytest_configure

__all__ = ["pytest_configure"]
