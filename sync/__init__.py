"""The connector's records into a database of your own, by dlt."""
