"""The open loop counts latency from when a request was due, against a real server."""

import itertools
import socket
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from benchmarks.errors import BenchmarkError
from benchmarks.open_loop import (
    NO_ANSWER,
    Answer,
    Generator,
    content_length,
    open_loop,
    percentile,
    summarise,
)

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


class Server(ThreadingHTTPServer):
    """Takes all of the generator's connections at once, and its hanging up without a word."""

    request_queue_size = 128

    def handle_error(self, request: object, client_address: object) -> None:
        """Print nothing."""


@pytest.fixture
def serve() -> Iterator[Callable[[type[Handler]], str]]:
    servers = []

    def start(handler: type[Handler]) -> str:
        server = Server(("127.0.0.1", 0), handler)
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


def test_a_broken_connection_is_a_failure_and_not_a_refusal(serve: Serve, body: Path) -> None:
    class Breaking(Handler):
        """Hangs up on every other request."""

        count = itertools.count()

        def do_POST(self) -> None:
            if next(self.count) % 2:
                self.close_connection = True
            else:
                super().do_POST()

    load, _ = open_loop(serve(Breaking), body, rate=100, seconds=1, seed=1)
    assert load.failed > 20
    assert load.requests > 20
    assert load.refused == 0


def test_what_is_never_answered_is_counted_when_the_generator_hangs_up(
    serve: Serve, body: Path
) -> None:
    class Slow(Handler):
        """Answers long after the generator has hung up."""

        seconds = 1.0

    generator = Generator(serve(Slow), body.read_bytes(), rate=100, seed=1, most_connections=5)
    generator.run(0.5, drain=0.0)
    assert generator.answers == []
    assert generator.unanswered == len(generator.lateness) > 20


def test_the_same_seed_makes_the_same_load(serve: Serve, body: Path) -> None:
    url = serve(Handler)
    first, second = (open_loop(url, body, rate=100, seconds=1, seed=7)[0] for _ in range(2))
    assert first.requests == second.requests


def test_a_server_that_is_not_there_is_an_error(body: Path) -> None:
    with socket.socket() as taken, pytest.raises(BenchmarkError, match="No connection"):
        taken.bind(("127.0.0.1", 0))  # bound, but nothing listens
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/predict"
        open_loop(url, body, rate=10, seconds=0.1, seed=1)


def test_figures_of_answers() -> None:
    answers = [Answer(0.0, seconds / 1000, 200) for seconds in range(1, 99)]
    answers += [Answer(0.0, 0.5, 503), Answer(0.0, 0.001, 504), Answer(0.0, 3.0, NO_ANSWER)]
    load = summarise(answers, unanswered=4, seconds=2.0)
    assert (load.requests, load.refused, load.failed) == (100, 2, 5)
    assert load.rps == 49
    assert load.max == 500  # what was never answered has no latency
    assert load.p50 == pytest.approx(50)


def test_nothing_answered_is_an_error() -> None:
    with pytest.raises(BenchmarkError, match="None of the requests"):
        summarise([Answer(0.0, 1.0, NO_ANSWER)], unanswered=1, seconds=1.0)


@pytest.mark.parametrize(("share", "value"), [(0, 1), (50, 3), (99, 4), (100, 4)])
def test_percentiles(share: float, value: float) -> None:
    assert percentile([1, 2, 3, 4], share) == value
