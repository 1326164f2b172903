"""Serves both APIs from prepared parts, so that the server's own work does not affect the results.

`python -m tools.benchmarks.server CARTS DELAY CAP` prints its port and serves until it is stopped.
It lists CARTS carts of 3.5 KB, modified in the last 50 days. A page holds `limit` carts, at most
CAP. The server sends each response DELAY seconds after its request. Requests for a single cart
receive HTTP 404, as for a deleted cart.
"""

import asyncio
import json
import re
import sys
from datetime import datetime, timedelta, timezone
from email.utils import formatdate

from tools.sandbox.data import make_carts

_DEFAULT_LIMIT = 20  # of the API
_CART_BYTES = 3_500
_MOST_MADE = 1_000  # carts; a longer list repeats them, with other tokens
_TOKEN = "00000000-0000-4000-8000-%012d"
_STATS = b'{"status":"success","data":{"abandoned":12,"recovered":3}}'


def prepare_carts(number: int) -> list[tuple[bytes, bytes]]:
    """Return this number of carts as JSON, each split at the number in its token."""
    parts = []
    now = datetime.now(timezone.utc)
    first = now - timedelta(days=50)  # after every start date in `settings_files`
    # Make twice as many as needed, because some are left out.
    for cart in make_carts(2 * number, first=first, last=now, date_formats=["iso3"]):
        text = json.dumps(cart.document, ensure_ascii=False)
        if re.search("[\ud800-\udfff]", text):
            continue  # orjson rejects unpaired surrogates, which are rare
        cart.document["userAgent"] += "x" * max(0, _CART_BYTES - len(text.encode()))
        cart.document["token"] = _TOKEN
        before, _, after = json.dumps(cart.document, ensure_ascii=False).partition("%012d")
        parts.append((before.encode(), after.encode()))
    return parts[:number]


class _Server(asyncio.Protocol):
    def __init__(
        self, parts: list[tuple[bytes, bytes]], carts: int, delay: float, cap: int
    ) -> None:
        self._parts = parts
        self._carts = carts
        self._delay = delay
        self._cap = cap
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        *requests, self._received = (self._received + data).split(b"\r\n\r\n")
        for request in requests:
            line = request.split(b"\r\n", 1)[0]
            asyncio.get_running_loop().call_later(self._delay, self._respond, line)

    def _respond(self, line: bytes) -> None:
        status, body = "200 OK", _STATS
        if b"/abandoned/" in line:
            status, body = "404 Not Found", b"{}"
        elif b"/abandoned" in line:
            body = self._page(line)
        head = (
            f"HTTP/1.1 {status}\r\nDate: {formatdate(usegmt=True)}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        self._transport.write(head.encode() + body)

    def _page(self, line: bytes) -> bytes:
        params = dict(re.findall(rb"(limit|continuationToken)=(\d+)", line))
        start = int(params.get(b"continuationToken", 0))
        end = min(start + min(int(params.get(b"limit", _DEFAULT_LIMIT)), self._cap), self._carts)
        carts = []
        for number in range(start, end):
            before, after = self._parts[number % len(self._parts)]
            carts.append(b"%b%012d%b" % (before, number, after))
        more = b"true" if end < self._carts else b"false"
        return b'{"items":[%b],"hasMoreResults":%b,"continuationToken":"%d"}' % (
            b",".join(carts), more, end,
        )  # fmt: skip


async def serve(carts: int, delay: float, cap: int) -> None:
    """Serve a list with this number of carts."""
    parts = prepare_carts(min(carts, _MOST_MADE))
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: _Server(parts, carts, delay, cap), "127.0.0.1")
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3])))
