"""Runs the command source-abandoned-carts from a checkout."""

from source_abandoned_carts.run import run

if __name__ == "__main__":
    run()
