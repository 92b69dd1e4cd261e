"""A server for callbacks, which keeps what it gets."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Received:
    """One request that the receiver got."""

    path: str
    headers: dict[str, str]
    body: bytes


class Receiver:
    """An HTTP server for callbacks; ``/STATUS/…`` answers that status, ``/slow`` never does."""

    def __init__(self) -> None:
        self.received: list[Received] = []
        self.closing = threading.Event()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            """Keeps what comes, answers what the path says."""

            def do_POST(self) -> None:
                """Answer a callback."""
                length = int(self.headers.get("Content-Length", 0))
                body = self.rfile.read(length)
                if len(body) < length:  # its sender was killed meanwhile
                    return
                receiver.received.append(Received(self.path, dict(self.headers), body))
                word = self.path.split("/")[1]
                if word == "slow":
                    receiver.closing.wait(60)
                if word == "reset":
                    return
                self.send_response(int(word) if word.isdigit() else 200)
                if word.startswith("30"):
                    self.send_header("Location", f"{receiver.url}/redirected")
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *arguments: Any) -> None:
                """Write nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        """The receiver's address."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def requests_to(self, path: str) -> list[Received]:
        """Return what came to one path."""
        return [each for each in list(self.received) if each.path == path]

    def close(self) -> None:
        """Stop serving."""
        self.closing.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(10)
