"""How fast the connector is, and how much memory it takes, beside the least that Python can do."""
