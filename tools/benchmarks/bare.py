"""A minimal Python program: it sends requests, parses the JSON and writes RECORD lines.

`python -m tools.benchmarks.bare PAGE_SIZE WINDOWS` reads all carts, and the counts of WINDOWS
windows, from the connector's addresses.
"""

import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any, BinaryIO

import orjson
import requests

_WORKERS = 8


def read_carts(url: str, page_size: str, output: BinaryIO) -> None:
    """Write all carts."""
    session = requests.Session()
    params = {"limit": page_size}
    more = True
    while more:
        response = session.get(f"{url}/carts/abandoned", params=params, auth=("key", ""))
        page = orjson.loads(response.content)
        for cart in page["items"]:
            output.write(_record("abandoned_carts", cart))
        more = page["hasMoreResults"]
        params["continuationToken"] = page["continuationToken"]


def read_stats(url: str, windows: int, output: BinaryIO) -> None:
    """Write the counts of all windows."""
    session = requests.Session()

    def get(number: int) -> Any:
        params = {"rest_key": "key", "date_from": str(number), "date_to": str(number + 1)}
        response = session.get(f"{url}/shopping-carts", params=params)
        return orjson.loads(response.content)["data"]

    with ThreadPoolExecutor(_WORKERS) as pool:
        for counts in pool.map(get, range(windows)):
            output.write(_record("cart_stats", counts))


def _record(stream: str, data: Any) -> bytes:
    record = {"stream": stream, "data": data, "emitted_at": int(time.time() * 1000)}
    return orjson.dumps({"type": "RECORD", "record": record}, option=orjson.OPT_APPEND_NEWLINE)


if __name__ == "__main__":
    # With Python's default buffer of 8 KB, small writes would take most of the time.
    with open(sys.stdout.fileno(), "wb", 65_536) as file, ThreadPoolExecutor(2) as streams:
        carts = streams.submit(read_carts, os.environ["SNIPCART_API_URL"], sys.argv[1], file)
        url = os.environ["RETARGETING_API_URL"]
        stats = streams.submit(read_stats, url, int(sys.argv[2]), file)
        carts.result()
        stats.result()
