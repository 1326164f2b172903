"""Both APIs from answers made beforehand, so that the server is not what is measured.

`python -m benchmarks.server CARTS DELAY [FORM …]` prints its port and serves until it is ended:
50 carts of 3.5 KB a page, changed in the last two months, each answer DELAY seconds after its
request. Dates come in these of sandbox.data.FORMS, or as the API's document shows them.
"""

import asyncio
import json
import re
import sys
from collections.abc import Sequence
from datetime import datetime, timedelta, timezone
from email.utils import formatdate

from sandbox.data import make_carts

PAGE = 50
_CART_BYTES = 3_500
_PAGES_MADE = 20  # the list goes round in them
_TOKEN = "00000000-0000-4000-8000-000000000000"
_STATS = b'{"status":"success","data":{"abandoned":12,"recovered":3}}'


def make_pages(forms: Sequence[str]) -> list[list[bytes]]:
    """Give the carts of some pages, each as its parts: between two belongs a cart's token."""
    documents = []
    now = datetime.now(timezone.utc)
    made = 2 * PAGE * _PAGES_MADE
    for cart in make_carts(made, first=now - timedelta(days=60), last=now, forms=forms):
        text = json.dumps(cart.document, ensure_ascii=False)
        if re.search("[\ud800-\udfff]", text):
            continue  # half emoji: few shops have them, and orjson does not read them
        cart.document["userAgent"] += "x" * max(0, _CART_BYTES - len(text.encode()))
        cart.document["token"] = _TOKEN
        documents.append(json.dumps(cart.document, ensure_ascii=False))
    return [
        ",".join(documents[start : start + PAGE]).encode().split(_TOKEN.encode())
        for start in range(0, PAGE * _PAGES_MADE, PAGE)
    ]


class _Server(asyncio.Protocol):
    def __init__(self, pages: list[list[bytes]], carts: int, delay: float) -> None:
        self._pages = pages
        self._carts = carts
        self._delay = delay
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        *requests, self._received = (self._received + data).split(b"\r\n\r\n")
        for request in requests:
            line = request.split(b"\r\n", 1)[0]
            asyncio.get_running_loop().call_later(self._delay, self._answer, line)

    def _answer(self, line: bytes) -> None:
        body = _STATS if b"shopping-carts" in line else self._page(line)
        head = (
            f"HTTP/1.1 200 OK\r\nDate: {formatdate(usegmt=True)}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        self._transport.write(head.encode() + body)

    def _page(self, line: bytes) -> bytes:
        token = re.search(rb"continuationToken=(\d+)", line)
        start = int(token[1]) if token else 0
        following = start + PAGE
        first, *others = self._pages[start // PAGE % len(self._pages)]
        tokens = range(start, min(following, self._carts))
        carts = b"".join(
            b"00000000-0000-4000-8000-%012d%b" % item for item in zip(tokens, others, strict=False)
        )
        carts = first + carts if tokens else b""
        more = b"true" if following < self._carts else b"false"
        return b'{"items":[%b],"hasMoreResults":%b,"continuationToken":"%d"}' % (
            carts, more, following,
        )  # fmt: skip


async def serve(carts: int, delay: float, forms: Sequence[str]) -> None:
    """Serve that many carts, a multiple of PAGE."""
    pages = make_pages(forms)
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: _Server(pages, carts, delay), "127.0.0.1")
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1]), float(sys.argv[2]), sys.argv[3:] or ("iso3",)))
