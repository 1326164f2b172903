"""Writes the connector's records into your own database through dlt."""
