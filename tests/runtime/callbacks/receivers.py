"""Receivers of callbacks as bad as they come: each connection is handled by a script."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

Script = Callable[["Visit"], object]
DRIP_SECONDS = 10.0


@dataclass
class Visit:
    """One connection to the receiver; ``closing`` is set when the receiver ends."""

    sock: socket.socket
    closing: threading.Event
    head: bytes = b""
    body: bytes = b""

    @property
    def headers(self) -> dict[str, str]:
        """The request's headers, with names in lower case."""
        lines = self.head.decode("latin-1").split("\r\n")[1:]
        pairs = (line.split(": ", 1) for line in lines if line)
        return {name.lower(): value for name, value in pairs}

    def read(self) -> None:
        """Read the whole request."""
        data = b""
        while b"\r\n\r\n" not in data:
            data += self._receive()
        self.head, _, self.body = data.partition(b"\r\n\r\n")
        while len(self.body) < int(self.headers["content-length"]):
            self.body += self._receive()

    def answer(self, status: str, *headers: str, body: bytes = b"") -> None:
        """Send a whole answer."""
        lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers, "", ""]
        self.sock.sendall("\r\n".join(lines).encode() + body)

    def drip(self, data: bytes, interval: float = 0.05) -> None:
        """Send a byte every ``interval`` seconds, the data again and again, for ten seconds."""
        for position in range(int(DRIP_SECONDS / interval)):
            start = position % len(data)
            self.sock.sendall(data[start : start + 1])
            if self.closing.wait(interval):
                return

    def _receive(self) -> bytes:
        data = self.sock.recv(65536)
        if not data:
            raise ConnectionError("the sender closed the connection")
        return data


@dataclass
class Receiver:
    """A server on one loopback address; the last script serves all further connections."""

    scripts: list[Script]
    address: str = "127.0.0.1"
    port: int = 0
    tls: ssl.SSLContext | None = None
    visits: list[Visit] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Start listening."""
        self.closing = threading.Event()
        family = socket.AF_INET6 if ":" in self.address else socket.AF_INET
        self._listener = socket.create_server((self.address, self.port), family=family)
        self._listener.settimeout(0.05)
        self.port = self._listener.getsockname()[1]
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def url(self, host: str = "", scheme: str = "http", path: str = "/hook") -> str:
        """Return a URI of this receiver."""
        return f"{scheme}://{host or self.address}:{self.port}{path}"

    def close(self) -> None:
        """End the server and every connection."""
        self.closing.set()
        for thread in self._threads:
            thread.join(10)
        self._listener.close()

    def _accept(self) -> None:
        while not self.closing.is_set():
            with contextlib.suppress(TimeoutError):
                sock, _ = self._listener.accept()
                script = self.scripts[min(len(self.visits), len(self.scripts) - 1)]
                visit = Visit(sock, self.closing)
                self.visits.append(visit)
                thread = threading.Thread(target=self._serve, args=(visit, script))
                self._threads.append(thread)
                thread.start()

    def _serve(self, visit: Visit, script: Script) -> None:
        visit.sock.settimeout(10)
        with contextlib.ExitStack() as stack, contextlib.suppress(OSError):
            stack.callback(lambda: visit.sock.close())
            if self.tls is not None:
                visit.sock = self.tls.wrap_socket(visit.sock, server_side=True)
            script(visit)


@contextlib.contextmanager
def receiving(*scripts: Script, **options: object) -> Iterator[Receiver]:
    """Run a receiver with these scripts."""
    receiver = Receiver(list(scripts), **options)  # type: ignore[arg-type]
    try:
        yield receiver
    finally:
        receiver.close()


def answering(status: str, *headers: str, body: bytes = b"") -> Script:
    """Return a script that reads the request and answers it."""

    def script(visit: Visit) -> None:
        visit.read()
        visit.answer(status, *headers, body=body)

    return script


def read_slowly(visit: Visit) -> None:
    """Read some 6 MB/s: never so slowly that a single write would take long."""
    while visit.sock.recv(2**17):
        if visit.closing.wait(0.02):
            return
