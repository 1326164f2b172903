"""The least that a Python program can do: ask, read the JSON, print RECORD lines. No more.

`python -m benchmarks.bare abandoned_carts|cart_stats|both WINDOWS`, the server's address in URL.
"""

import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import orjson
import requests

_WORKERS = 8


def read_carts(url: str) -> None:
    """Print all carts."""
    session = requests.Session()
    params = {"limit": "50"}
    more = True
    while more:
        response = session.get(f"{url}/api/carts/abandoned", params=params, auth=("key", ""))
        page = orjson.loads(response.content)
        for cart in page["items"]:
            _print("abandoned_carts", cart)
        more = page["hasMoreResults"]
        params["continuationToken"] = page["continuationToken"]


def read_stats(url: str, windows: int) -> None:
    """Print the counts of so many windows."""
    session = requests.Session()

    def ask(number: int) -> Any:
        params = {"rest_key": "key", "date_from": str(number), "date_to": str(number + 1)}
        response = session.get(f"{url}/v1/partners-api/shopping-carts", params=params)
        return orjson.loads(response.content)["data"]

    with ThreadPoolExecutor(_WORKERS) as pool:
        for counts in pool.map(ask, range(windows)):
            _print("cart_stats", counts)


def _print(stream: str, data: Any) -> None:
    record = {"stream": stream, "data": data, "emitted_at": int(time.time() * 1000)}
    sys.stdout.buffer.write(orjson.dumps({"type": "RECORD", "record": record}) + b"\n")


if __name__ == "__main__":
    what, number = sys.argv[1], int(sys.argv[2])
    with ThreadPoolExecutor(2) as streams:
        readings = []
        if what in ("abandoned_carts", "both"):
            readings.append(streams.submit(read_carts, os.environ["URL"]))
        if what in ("cart_stats", "both"):
            readings.append(streams.submit(read_stats, os.environ["URL"], number))
        for reading in readings:
            reading.result()
