"""Speed and memory of the connector, compared with a minimal Python program and low-code."""
