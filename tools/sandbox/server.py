"""The server: both APIs as documented, with faults on demand."""

import base64
import gzip
import json
import socket
import struct
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from .data import Cart, make_carts, make_events, make_token, read_token

SNIPCART = "/api/carts/abandoned"
RETARGETING = "/v1/partners-api/shopping-carts"
THIRTY_DAYS = 30 * 86_400

_TIME_RANGES = {
    "Anytime": None,
    "LessThan4Hours": timedelta(hours=4),
    "LessThanADay": timedelta(days=1),
    "LessThanAWeek": timedelta(weeks=1),
    "LessThanAMonth": timedelta(days=30),
}
_FILTER_PARAMETERS = ("timeRange", "minimalValue", "email", "productId", "campaignId")
_NEVER = datetime.min.replace(tzinfo=timezone.utc)


@dataclass(frozen=True)
class Request:
    """A request that the server received.

    `service` is "snipcart" or "retargeting", and `at` is the time on the monotonic clock.
    """

    service: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    at: float


@dataclass
class Fault:
    """A failure of the next `times` requests to `service`.

    `when` limits the fault to the requests for which it returns true. `kind` is one of

    - "status": responds with `status`, `headers` and `body`, which is bytes, text, or JSON;
    - "headers": responds with `headers` added or replaced; None leaves one out;
    - "html": responds with status 200 and an HTML page;
    - "gzip": responds with a compressed body: its first `at` bytes (default: all), then `body`;
    - "slow": responds after `seconds`;
    - "drip": sends the body byte by byte, waiting `seconds` after each byte;
    - "endless": repeats the body without an end;
    - "reset": resets the connection after `at` bytes of the response (default: 0);
    - "cut": closes the connection after `at` bytes of the response (default: in the middle of the
      body) and `seconds`;
    - "close": responds and closes the connection without having said so;
    - "raw": sends `body`, which is no HTTP response, and closes the connection.
    """

    kind: str
    service: str = "snipcart"
    times: int = 1
    status: int = 500
    headers: dict[str, str | None] = field(default_factory=dict)
    body: Any = ""
    seconds: float = 0
    at: int | None = None
    when: Callable[[Request], bool] | None = None


class Sandbox:
    """Serves both APIs on 127.0.0.1. As a context manager, it serves until the block ends.

    `requests` lists the requests received. Everything else may be changed while the sandbox runs:

    - `carts`: what Snipcart's API returns. A cart can be listed late, leave the list and come
      back: see `Cart`. Continuation tokens hold an offset. If a cart leaves the list during a
      scan, the carts after it move, so the scan can miss one of them;
    - `abandoned` and `recovered`: the Unix times that Retargeting's API counts;
    - `snipcart_key`, `retargeting_key` and `account_active`;
    - `clock_offset`: how many seconds the server's clock is ahead;
    - `sends_date`: whether responses have a Date header;
    - `headers`: sent with each response;
    - `rate_limit`: a number of requests and of seconds. Each service accepts so many requests
      within any such time, and responds with 429 and `rate_limit_headers` to others;
    - `faults`: see `Fault`;
    - `before`: called with each request before the response.

    The documentation of the services does not specify these:

    - `largest_page`: the most carts on a page, whatever the limit in the request;
    - `largest_limit`: a request with a greater limit is rejected;
    - `deleted_status`: the status for the token of a deleted cart, such as 404 or 410;
    - `order`: "created" or "modified", with a minus for newest first, or None for no order;
    - `time_range_by`: the date that timeRange filters on, "modified" or "created";
    - `tokens_keep_filters`: whether a continuation token keeps the filters of its first request.
      If not, the filters of each request apply;
    - `unknown_token_status`: the status for an unknown token. 200 returns the first page;
    - `counts_date_to`: whether the second of `date_to` is counted;
    - `longest_interval`: the most seconds between `date_from` and `date_to`.
    """

    def __init__(
        self,
        carts: int = 300,
        seed: int = 1,
        *,
        port: int = 0,
        snipcart_key: str = "sandbox-secret-key",
        retargeting_key: str = "sandbox-rest-key",
    ) -> None:
        self.carts = make_carts(carts, seed)
        self.abandoned, self.recovered = make_events(carts * 4, seed)
        self.snipcart_key = snipcart_key
        self.retargeting_key = retargeting_key
        self.clock_offset = 0.0
        self.sends_date = True
        self.account_active = True
        self.largest_page: int | None = None
        self.largest_limit: int | None = None
        self.deleted_status = 404
        self.order: str | None = None
        self.time_range_by = "modified"
        self.tokens_keep_filters = False
        self.unknown_token_status = 400
        self.counts_date_to = True
        self.longest_interval = THIRTY_DAYS
        self.headers: dict[str, str] = {}
        self.rate_limit: tuple[int, float] | None = None
        self.rate_limit_headers: dict[str, str] = {}
        self.faults: list[Fault] = []
        self.before: Callable[[Request], None] | None = None
        self.requests: list[Request] = []
        self._accepted: dict[str, list[float]] = {"snipcart": [], "retargeting": []}
        self._generation = 1
        self._lock = threading.Lock()
        self._server = _Server(("127.0.0.1", port), self)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"  # ignore-https-check

    @property
    def environment(self) -> dict[str, str]:
        """The environment variables that point the connector to this sandbox."""
        return {
            "SNIPCART_API_URL": f"{self.url}/api",
            "RETARGETING_API_URL": f"{self.url}/v1/partners-api",
        }

    @property
    def config(self) -> dict[str, Any]:
        """A configuration of the connector with the keys of this sandbox."""
        return {
            "start_date": "2024-01-01",
            "snipcart_api_key": self.snipcart_key,
            "retargeting_rest_key": self.retargeting_key,
        }

    def now(self) -> datetime:
        """The time on the server's clock."""
        return datetime.fromtimestamp(time.time() + self.clock_offset, timezone.utc)

    def forget_tokens(self) -> None:
        """Expire every continuation token that was returned so far."""
        self._generation += 1

    def to(self, service: str) -> list[Request]:
        """The requests to one service."""
        return [request for request in self.requests if request.service == service]

    def serve_forever(self) -> None:
        self._server.serve_forever(poll_interval=0.05)

    def __enter__(self) -> "Sandbox":
        self._thread = threading.Thread(target=self.serve_forever, daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def fault_for(self, request: Request) -> Fault | None:
        with self._lock:
            for fault in self.faults:
                applies = fault.service == request.service and fault.times > 0
                if applies and (fault.when is None or fault.when(request)):
                    fault.times -= 1
                    return fault
        return None

    def exceeds_rate_limit(self, request: Request) -> bool:
        """Return whether a request must be refused. Otherwise count it as accepted."""
        if self.rate_limit is None:
            return False
        most, seconds = self.rate_limit
        with self._lock:
            accepted = self._accepted[request.service]
            if sum(request.at - at < seconds for at in accepted) >= most:
                return True
            accepted.append(request.at)
            return False

    def respond(self, request: Request) -> tuple[int, Any]:
        """Return the HTTP status and the JSON body of a response without faults."""
        if request.service == "snipcart":
            return self._snipcart(request)
        return self._retargeting(request.query)

    def _snipcart(self, request: Request) -> tuple[int, Any]:
        headers = request.headers
        expected = base64.b64encode(f"{self.snipcart_key}:".encode()).decode()
        if headers.get("authorization") != f"Basic {expected}":
            return 401, {"message": "Authorization has been denied for this request."}
        if "application/json" not in headers.get("accept", ""):
            return 406, {"message": "Only application/json is available."}
        if request.path == SNIPCART:
            return self._page(request.query)
        return self._cart(unquote(request.path.removeprefix(f"{SNIPCART}/")))

    def _cart(self, token: str) -> tuple[int, Any]:
        for cart in self.carts:
            if cart.document.get("token") == token:
                if cart.deleted:
                    return self.deleted_status, {"message": "The cart was deleted."}
                return 200, cart.document
        return 404, {"message": "The cart was not found."}

    def _page(self, query: dict[str, str]) -> tuple[int, Any]:
        offset = 0
        if token := query.get("continuationToken"):
            decoded = read_token(token)
            if decoded is not None and decoded[1] == self._generation:
                offset = decoded[0]
                query = {**query, **decoded[2]}
            elif self.unknown_token_status != 200:
                return self.unknown_token_status, {"message": "The continuation token is invalid."}
        try:
            limit = int(query.get("limit", "20"))
            minimal = float(query["minimalValue"]) if "minimalValue" in query else None
        except ValueError:
            return 400, {"message": "limit and minimalValue must be numbers."}
        if limit <= 0 or query.get("timeRange", "Anytime") not in _TIME_RANGES:
            return 400, {"message": "The request is invalid."}
        if limit > (self.largest_limit or limit):
            return 400, {"message": "The limit is too large."}
        size = min(limit, self.largest_page or limit)
        found = self._listed()
        filters = {name: text for name, text in query.items() if name in _FILTER_PARAMETERS}
        if set(filters) - {"timeRange"} or query.get("timeRange", "Anytime") != "Anytime":
            found = [cart for cart in found if self._matches(cart, query, minimal)]
        more = offset + size < len(found)
        kept = filters if self.tokens_keep_filters else {}
        token = make_token(offset + size, self._generation, kept) if more else None
        return 200, {
            "minimalValue": minimal,
            "timeRange": query.get("timeRange"),
            "email": query.get("email"),
            "productId": query.get("productId"),
            "limit": limit,
            "hasMoreResults": more,
            "continuationToken": token,
            "items": [cart.document for cart in found[offset : offset + size]],
        }

    def _listed(self) -> list[Cart]:
        now = self.now()
        carts = [
            cart
            for cart in self.carts
            if cart.on_list and (cart.listed_from is None or cart.listed_from <= now)
        ]
        if self.order is None:
            return carts
        name = self.order.removeprefix("-")
        return sorted(
            carts,
            key=lambda cart: getattr(cart, name) or _NEVER,
            reverse=self.order.startswith("-"),
        )

    def _matches(self, cart: Cart, query: dict[str, str], minimal: float | None) -> bool:
        document = cart.document
        age = _TIME_RANGES[query.get("timeRange", "Anytime")]
        date: datetime | None = getattr(cart, self.time_range_by)
        return (
            (age is None or (date is not None and date > self.now() - age))
            and (minimal is None or document["total"] >= minimal)
            and query.get("email", document["email"]) == document["email"]
            and query.get("campaignId", document["campaignId"]) == document["campaignId"]
            and (
                "productId" not in query
                or any(item["id"] == query["productId"] for item in document["items"])
            )
        )

    def _retargeting(self, query: dict[str, str]) -> tuple[int, Any]:
        def refuse(message: str) -> tuple[int, Any]:
            return 200, {"status": "error", "message": message}

        if query.get("rest_key") != self.retargeting_key:
            return refuse("Incorrect rest key!")
        if not self.account_active:
            return refuse("Your account is not active!")
        if "date_to" in query and "date_from" not in query:
            message = "The date from field is required when date to is present."
            return 200, {
                "status": "fail",
                "data": {"validator": {"date_from": [message]}},
            }
        now = int(self.now().timestamp())
        date_from = int(query.get("date_from", now - THIRTY_DAYS))
        date_to = int(query.get("date_to", now))
        if date_to - date_from > self.longest_interval:
            return refuse("Interval is greater than 30 days")
        counted = range(date_from, date_to + self.counts_date_to)
        return 200, {
            "status": "success",
            "data": {
                "abandoned": sum(moment in counted for moment in self.abandoned),
                "recovered": sum(moment in counted for moment in self.recovered),
            },
        }


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def __init__(self, address: tuple[str, int], sandbox: Sandbox) -> None:
        self.sandbox = sandbox
        super().__init__(address, _Handler)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Log nothing: tests include clients that close the connection."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Server

    def do_GET(self) -> None:
        sandbox = self.server.sandbox
        url = urlsplit(self.path)
        if url.path == RETARGETING:
            service = "retargeting"
        elif url.path == SNIPCART or url.path.startswith(f"{SNIPCART}/"):
            service = "snipcart"
        else:
            self._send(404, {"message": "There is nothing at this address."})
            return
        request = Request(
            service,
            url.path,
            {
                name: values[0]
                for name, values in parse_qs(url.query, keep_blank_values=True).items()
            },
            {name.lower(): value for name, value in self.headers.items()},
            time.monotonic(),
        )
        sandbox.requests.append(request)
        if sandbox.before is not None:
            sandbox.before(request)
        if sandbox.exceeds_rate_limit(request):
            self._send(429, {"message": "Too many requests."}, sandbox.rate_limit_headers)
            return
        fault = sandbox.fault_for(request)
        if fault is None:
            self._send(*sandbox.respond(request))
        else:
            self._inject(fault, request)

    def _inject(self, fault: Fault, request: Request) -> None:
        if fault.kind == "slow":
            time.sleep(fault.seconds)
        status, body = self.server.sandbox.respond(request)
        head, content = self._response(status, body)
        if fault.kind == "slow":
            self.wfile.write(head + content)
        elif fault.kind == "status":
            self._send(fault.status, fault.body, fault.headers)
        elif fault.kind == "headers":
            self._send(status, body, fault.headers)
        elif fault.kind == "html":
            self._send(200, "<html><head><title>Sorry</title></head><body>Be right back</body>")
        elif fault.kind == "gzip":
            compressed = gzip.compress(content, 1)[: fault.at] + _encode(fault.body)
            self._send(status, compressed, {"Content-Encoding": "gzip"})
        elif fault.kind == "drip":
            self.wfile.write(head)
            for index in range(len(content)):
                self.wfile.write(content[index : index + 1])
                time.sleep(fault.seconds)
        elif fault.kind == "endless":
            chunked = {"Content-Length": None, "Transfer-Encoding": "chunked"}
            self.wfile.write(self._response(status, body, chunked)[0])
            while True:  # until the client closes the connection
                self.wfile.write(b"%x\r\n%b\r\n" % (len(content), content))
        else:
            self._close(fault, head, content)

    def _close(self, fault: Fault, head: bytes, content: bytes) -> None:
        """Inject a fault that ends with a closed connection."""
        if fault.kind == "reset":
            self.wfile.write((head + content)[: fault.at or 0])
            # With a linger time of 0, closing the socket sends RST.
            linger = struct.pack("ii", 1, 0)
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            self.connection.close()
        elif fault.kind == "cut":
            middle = len(head) + len(content) // 2
            self.wfile.write((head + content)[: middle if fault.at is None else fault.at])
            time.sleep(fault.seconds)
        elif fault.kind == "close":
            self.wfile.write(head + content)
        elif fault.kind == "raw":
            self.wfile.write(_encode(fault.body))
        else:
            raise ValueError(f"unknown kind of fault: {fault.kind}")
        self.close_connection = True

    def _send(
        self, status: int, body: Any, headers: Mapping[str, str | None] | None = None
    ) -> None:
        self.wfile.write(b"".join(self._response(status, body, headers)))

    def _response(
        self, status: int, body: Any, headers: Mapping[str, str | None] | None = None
    ) -> tuple[bytes, bytes]:
        """Return the head and the body of a response."""
        sandbox = self.server.sandbox
        content = _encode(body)
        date = formatdate(sandbox.now().timestamp(), usegmt=True) if sandbox.sends_date else None
        fields = {
            "Date": date,
            "Content-Type": "text/html" if isinstance(body, str) else "application/json",
            "Content-Length": str(len(content)),
            **sandbox.headers,
            **(headers or {}),
        }
        reason = self.responses.get(status, ("",))[0]
        lines = [f"HTTP/1.1 {status} {reason}"]
        lines += [f"{name}: {value}" for name, value in fields.items() if value is not None]
        return "\r\n".join([*lines, "", ""]).encode("latin-1"), content

    def log_message(self, format: str, *args: Any) -> None:
        """Log nothing."""


def _encode(body: Any) -> bytes:
    """Return a body, which is bytes, text or JSON, as it is sent."""
    if isinstance(body, bytes):
        return body
    return (body if isinstance(body, str) else json.dumps(body)).encode()
