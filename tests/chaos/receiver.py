"""A receiver of callbacks that keeps what comes and refuses some of it."""

from __future__ import annotations

import random
import threading
import time
from collections import defaultdict
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass(frozen=True)
class Delivery:
    """One callback that came, and whether it was answered 500."""

    at: float
    body: bytes
    refused: bool


class Server(ThreadingHTTPServer):
    """Serves each connection from a thread; many may come at once."""

    daemon_threads = True
    request_queue_size = 256


class Receiver:
    """Keeps every callback by its task's id; answers 500 to ``refused`` of them, by chance."""

    def __init__(
        self, rng: random.Random, refused: float = 0.0, address: str = "127.0.0.1"
    ) -> None:
        self.deliveries: defaultdict[str, list[Delivery]] = defaultdict(list)
        receiver = self
        lock = threading.Lock()

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                length = int(self.headers["Content-Length"])
                body = self.rfile.read(length)
                if len(body) < length:  # its sender was killed meanwhile: nothing was delivered
                    return
                task_id = self.headers["Denzel-Task-Id"]
                with lock:
                    refuse = rng.random() < refused
                    note = Delivery(time.monotonic(), body, refuse)
                    receiver.deliveries[task_id].append(note)
                self.send_response(500 if refuse else 204)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self._server = Server((address, 0), Handler)
        self.port = self._server.server_port
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()

    def taken(self, task_id: str) -> list[Delivery]:
        """Return the callbacks of a task that were not refused."""
        return [each for each in list(self.deliveries.get(task_id, ())) if not each.refused]

    def close(self) -> None:
        """Stop receiving."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
