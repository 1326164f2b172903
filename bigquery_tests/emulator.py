"""python -m bigquery_tests.emulator: serve BigQuery's API until interrupted.

It also serves POST /token on another port, where Google's library exchanges a service account's
signature for an access token. It prints a line with both ports, among lines of the emulator's log.
"""

import asyncio
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from bqemulator.config import Settings
from bqemulator.server import EmulatorServer
from bqemulator.storage.engine import DuckDBEngine

PROJECT = "test-project"


class _Tokens(BaseHTTPRequestHandler):
    def do_POST(self):
        body = json.dumps({"access_token": "token", "expires_in": 3600, "token_type": "Bearer"})
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, *_):
        """Print nothing."""


async def _serve():
    # It needs the network, and only geography columns need it.
    DuckDBEngine._load_spatial = lambda self: None
    server = EmulatorServer(Settings(rest_port=0, grpc_port=0, default_project_id=PROJECT))
    await server.start()
    tokens = ThreadingHTTPServer(("127.0.0.1", 0), _Tokens)
    threading.Thread(target=tokens.serve_forever, daemon=True).start()
    print(f"PORTS {server.rest_port} {tokens.server_port}", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(_serve())
