"""A reverse proxy that, as many do, asks the API under the API's own address."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import requests

OF_ONE_CONNECTION = frozenset({"host", "connection", "content-length", "transfer-encoding"})


@contextmanager
def forwarding(target: str) -> Iterator[str]:
    """Yield the address of a proxy before the server at ``target``."""

    class Handler(BaseHTTPRequestHandler):
        """Passes requests on, with another Host."""

        def do_GET(self) -> None:
            """Pass a request on."""
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            headers = {
                name: value
                for name, value in self.headers.items()
                if name.lower() not in OF_ONE_CONNECTION
            }
            answer = requests.request(
                self.command, target + self.path, data=body, headers=headers, timeout=60
            )
            self.send_response(answer.status_code)
            for name, value in answer.headers.items():
                if name.lower() not in OF_ONE_CONNECTION:
                    self.send_header(name, value)
            self.send_header("Content-Length", str(len(answer.content)))
            self.end_headers()
            self.wfile.write(answer.content)

        do_POST = do_GET

        def log_message(self, format: str, *arguments: object) -> None:
            """Write nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)
