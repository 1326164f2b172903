"""Tests with clients of Airbyte sources. `make clients` runs them; they are slow to install."""
