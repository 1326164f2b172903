"""Serves a sandbox's responses, and misbehaves at random, down to single bytes."""

import asyncio
import gzip
import json
import random
import socket
import struct
import threading
from collections import Counter
from collections.abc import Awaitable, Callable
from email.utils import formatdate
from urllib.parse import parse_qs, quote, urlsplit

from tools.sandbox import Sandbox
from tools.sandbox.server import RETARGETING, SNIPCART, Request

from .hurried import READ

_RETRY_AFTER = (
    None, "1", "0", "600", "999999999", "1e9", "-5", "soon", "", "1.5",
    "Fri, 31 Dec 1999 23:59:59 GMT", "Fri, 31 Dec 9999 23:59:59 GMT",
)  # fmt: skip


class Chaos:
    """Serves a sandbox on a port of 127.0.0.1, in a thread.

    `chance` is the source of randomness, and `share` the share of responses that go wrong.
    `injected` counts the faults, and `redirected` the requests that followed a redirect.
    """

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox
        self.chance = random.Random(0)
        self.share = 0.0
        self.injected: Counter[str] = Counter()
        self.redirected = 0
        self._loop = asyncio.new_event_loop()
        server = self._loop.run_until_complete(
            asyncio.start_server(self._connected, "127.0.0.1", 0)
        )
        self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"  # ignore-https-check
        threading.Thread(target=self._loop.run_forever, daemon=True).start()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                lines = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
                status, body = self._respond(lines[0].split()[1], lines[1:-2])
                # The faults send any body as a success.
                if status == 200 and self.chance.random() < self.share:
                    name = self.chance.choice(list(FAULTS))
                    self.injected[name] += 1
                    await FAULTS[name](self, writer, body)
                else:
                    await send(writer, body, status)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    def _respond(self, target: str, headers: list[str]) -> tuple[int, bytes]:
        """Return the status and the body of a response without a fault."""
        url = urlsplit(target)
        if not url.path.startswith((SNIPCART, RETARGETING)):
            self.redirected += 1
            return 200, b"{}"
        service = "snipcart" if url.path.startswith(SNIPCART) else "retargeting"
        query = {name: values[0] for name, values in parse_qs(url.query).items()}
        fields = (line.partition(": ") for line in headers)
        received = {name.lower(): value for name, _, value in fields}
        status, found = self._sandbox.respond(Request(service, url.path, query, received, 0))
        return status, json.dumps(found).encode()

    def disclose(self, body: bytes) -> bytes:
        """Return an error body that quotes the credentials and customers' data."""
        keys = [self._sandbox.snipcart_key, self._sandbox.retargeting_key]
        message = [*keys, *map(quote, keys)]
        return json.dumps({"message": message, "cart": body[:2000].decode()}).encode()


def response(body: bytes, status: int = 200, **headers: str | None) -> bytes:
    """Return a whole response. Headers are named with _ for -, and None leaves one out."""
    fields = {
        "Date": formatdate(usegmt=True),
        "Content-Type": "application/json",
        "Content-Length": str(len(body)),
        **{name.replace("_", "-"): value for name, value in headers.items()},
    }
    lines = [f"{name}: {value}\r\n" for name, value in fields.items() if value is not None]
    return f"HTTP/1.1 {status} Status\r\n{''.join(lines)}\r\n".encode() + body


async def send(
    writer: asyncio.StreamWriter, body: bytes, status: int = 200, **headers: str | None
) -> None:
    writer.write(response(body, status, **headers))
    await writer.drain()


def _part(chaos: Chaos, whole: bytes) -> bytes:
    """Cut a response off at any byte: as often within the head as within the body."""
    head = whole.index(b"\r\n\r\n") + 4
    end = chaos.chance.choice(
        [chaos.chance.randrange(head), chaos.chance.randrange(head, len(whole))]
    )
    return whole[:end]


async def _too_many(chaos: Chaos, writer: asyncio.StreamWriter, body: bytes) -> None:
    await send(writer, chaos.disclose(body), 429, Retry_After=chaos.chance.choice(_RETRY_AFTER))


async def _server_error(chaos: Chaos, writer: asyncio.StreamWriter, body: bytes) -> None:
    status = chaos.chance.choice([500, 502, 503, 504, 520, 408])
    body = chaos.chance.choice([chaos.disclose(body), b"<html>" + chaos.disclose(body), b"", body])
    await send(writer, body, status, Retry_After=chaos.chance.choice(_RETRY_AFTER))


async def _reset(chaos: Chaos, writer: asyncio.StreamWriter, body: bytes) -> None:
    writer.write(_part(chaos, response(body)))
    await writer.drain()
    raw = writer.get_extra_info("socket")
    # Closed without waiting for what was sent: the kernel resets the connection.
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    raise ConnectionError


async def _cut(chaos: Chaos, writer: asyncio.StreamWriter, body: bytes) -> None:
    writer.write(_part(chaos, response(body)))
    await writer.drain()
    raise ConnectionError


async def _endless(chaos: Chaos, writer: asyncio.StreamWriter, body: bytes) -> None:
    writer.write(response(b"", Content_Length=None, Transfer_Encoding="chunked")[:-2] + b"\r\n")
    while True:
        writer.write(b"%x\r\n%b\r\n" % (len(body), body))
        await writer.drain()
        await asyncio.sleep(0)


async def _html(chaos: Chaos, writer: asyncio.StreamWriter, body: bytes) -> None:
    await send(
        writer, b"<html><title>Back soon</title>" + chaos.disclose(body), Content_Type="text/html"
    )


async def _wrong_type(chaos: Chaos, writer: asyncio.StreamWriter, body: bytes) -> None:
    kinds = ["text/html", "text/plain; charset=utf-16", "application/pdf", "", None]
    await send(writer, body, Content_Type=chaos.chance.choice(kinds))


async def _compressed(chaos: Chaos, writer: asyncio.StreamWriter, body: bytes) -> None:
    packed = gzip.compress(body, 1)
    content = chaos.chance.choice([packed, body, packed[: len(packed) // 2], packed + body, b""])
    await send(writer, content, Content_Encoding="gzip")


async def _redirect(chaos: Chaos, writer: asyncio.StreamWriter, body: bytes) -> None:
    status = chaos.chance.choice([301, 302, 303, 307, 308])
    await send(writer, chaos.disclose(body), status, Location=f"{chaos.url}/stolen")


async def _stall(chaos: Chaos, writer: asyncio.StreamWriter, body: bytes) -> None:
    writer.write(_part(chaos, response(body)))
    await writer.drain()
    await asyncio.sleep(READ + 0.5)
    raise ConnectionError


async def _drip(chaos: Chaos, writer: asyncio.StreamWriter, body: bytes) -> None:
    """Send the body byte by byte, each in time and all of them too late."""
    writer.write(response(body)[: -len(body)])
    while True:
        writer.write(b"x")
        await writer.drain()
        await asyncio.sleep(READ / 2)


async def _closed_after(chaos: Chaos, writer: asyncio.StreamWriter, body: bytes) -> None:
    """Close the connection after a good response, although it is to be kept."""
    await send(writer, body)
    raise ConnectionError


async def _no_http(chaos: Chaos, writer: asyncio.StreamWriter, body: bytes) -> None:
    writer.write(
        chaos.chance.choice([chaos.disclose(body), b"HTTP/1.1 abc\r\n\r\n", b"\0" * 5_000])
    )
    await writer.drain()
    raise ConnectionError


FAULTS: dict[str, Callable[[Chaos, asyncio.StreamWriter, bytes], Awaitable[None]]] = {
    "429": _too_many,
    "5xx, 408": _server_error,
    "reset at any byte": _reset,
    "cut off at any byte": _cut,
    "endless body": _endless,
    "HTML for JSON": _html,
    "wrong content type": _wrong_type,
    "gzip, also false": _compressed,
    "redirect": _redirect,
    "stall": _stall,
    "drip": _drip,
    "connection closed after": _closed_after,
    "no HTTP": _no_http,
}
