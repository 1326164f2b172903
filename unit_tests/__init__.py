"""Each module alone: no network, milliseconds."""
