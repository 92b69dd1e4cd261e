"""The open loop counts latency from when a request was due, against a real server."""

import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from benchmarks.errors import BenchmarkError
from benchmarks.open_loop import content_length, open_loop

Serve = Callable[[type["Handler"]], str]
ANSWER = b'{"a": 1}'


class Handler(BaseHTTPRequestHandler):
    """Answers after ``seconds``, with ``status``."""

    protocol_version = "HTTP/1.1"
    seconds = 0.0
    status = 200

    def do_POST(self) -> None:
        """Take the body in, wait, answer."""
        self.rfile.read(int(self.headers["Content-Length"]))
        time.sleep(self.seconds)  # the server's work, not a wait for something
        self.send_response(self.status)
        self.send_header("Content-Length", str(len(ANSWER)))
        self.end_headers()
        self.wfile.write(ANSWER)

    def log_message(self, format: str, *args: object) -> None:
        """Print nothing."""


@pytest.fixture
def serve() -> Iterator[Callable[[type[Handler]], str]]:
    servers = []

    def start(handler: type[Handler]) -> str:
        server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        servers.append(server)
        Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return f"http://127.0.0.1:{server.server_address[1]}/predict"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.fixture
def body(tmp_path: Path) -> Path:
    file = tmp_path / "body.json"
    file.write_bytes(b'{"data": 1}')
    return file


def test_every_request_is_sent_and_answered(serve: Serve, body: Path) -> None:
    load, _ = open_loop(serve(Handler), body, rate=100, seconds=1, seed=1)
    assert 60 < load.requests < 140
    assert (load.refused, load.failed) == (0, 0)


def test_waiting_in_line_counts_as_latency(serve: Serve, body: Path) -> None:
    class Slow(Handler):
        """Takes twice as long as the time between two requests."""

        seconds = 0.02

    load, _ = open_loop(serve(Slow), body, rate=100, seconds=0.5, seed=1, most_connections=1)
    assert load.p50 > 100  # counted from when it was sent, each would have taken 20 ms


def test_refusals_are_counted(serve: Serve, body: Path) -> None:
    class Refusing(Handler):
        """Answers that it is overloaded."""

        status = 503

    load, _ = open_loop(serve(Refusing), body, rate=50, seconds=0.5, seed=1)
    assert load.requests == load.refused > 0


def test_an_answer_without_length_is_an_error() -> None:
    with pytest.raises(BenchmarkError, match="Content-Length"):
        content_length(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked")
