"""The same as the command source-abandoned-carts, from a checkout."""

from source_abandoned_carts.start import start

if __name__ == "__main__":
    start()
