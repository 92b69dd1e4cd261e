"""A server for callbacks, for projects that run in processes or in containers of this machine."""

from __future__ import annotations

import json
import queue
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Receiver:
    """Receives callbacks on one address of this machine, or on all; ``host`` leads there."""

    def __init__(self, address: str = "127.0.0.1", host: str = "127.0.0.1") -> None:
        self.bodies: queue.Queue[Any] = queue.Queue()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                length = int(self.headers["Content-Length"])
                receiver.bodies.put(json.loads(self.rfile.read(length)))
                self.send_response(204)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer((address, 0), Handler)
        self.uri = f"http://{host}:{self.server.server_port}/john_q"
        self.thread = threading.Thread(target=self.server.serve_forever)
        self.thread.start()

    def close(self) -> None:
        """Stop receiving."""
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()
