"""Clients that send or read slowly, or send a head without an end."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from .conftest import OBEDIENT
from .deployment import Deployment, deployed

MEGABYTE = 2**20
CLIENT_TIMEOUT = 2
LONG_SECONDS = 20
"""Less than the default of CLIENT_TIMEOUT: what is cut off sooner is cut off by the one above."""


@pytest.fixture(scope="module")
def strict(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """Yield a deployment that soon hangs up on slow clients, and takes short heads alone."""
    settings = {"CLIENT_TIMEOUT": str(CLIENT_TIMEOUT), "MAX_HEADER_BYTES": "1000"}
    with deployed(tmp_path_factory.mktemp("strict"), OBEDIENT, settings) as deployment:
        deployment.start_redis()
        deployment.start_worker(wait=False)
        deployment.start_api()
        deployment.wait_for_worker()
        deployment.wait(lambda: deployment.predict({"value": 1}).ok, "predictions are answered")
        yield deployment


def send(deployment: Deployment, *parts: bytes) -> bytes:
    """Send raw bytes and return all that is answered."""
    with connect(deployment) as connection:
        for part in parts:
            connection.sendall(part)
        answer = b""
        while received := connection.recv(65536):
            answer += received
        return answer


def connect(deployment: Deployment) -> socket.socket:
    """Return a connection to the API."""
    port = int(deployment.environment["API_PORT"])
    return socket.create_connection(("127.0.0.1", port), timeout=30)


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (b"GET /info?" + b"x" * 2000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", b"414"),
        (b"GET /info HTTP/1.1\r\nHost: x\r\nX-Long: " + b"x" * 2000 + b"\r\n\r\n", b"431"),
        (b"GET /info HTTP/1.1\r\nHost: x\r\n" + b"X-Y: z\r\n" * 200 + b"\r\n", b"431"),
    ],
)
def test_a_long_head_is_refused(strict: Deployment, head: bytes, status: bytes) -> None:
    assert send(strict, head).split(b" ", 2)[1] == status


@pytest.mark.parametrize(
    "begin",
    [
        b"GET /info?",
        b"GET /info HTTP/1.1\r\nX-Endless: ",
        b"GET /info HTTP/1.1\r\nX-Endless",
        b"POST /info HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX-Endless: ",
    ],
    ids=["target", "header", "header's name", "trailer"],
)
def test_a_line_without_an_end_is_not_collected(strict: Deployment, begin: bytes) -> None:
    with connect(strict) as connection:
        connection.sendall(begin)
        sent = 0
        with contextlib.suppress(ConnectionError):
            while sent < 64 * MEGABYTE:
                sent += connection.send(b"x" * 65536)
        assert sent < 16 * MEGABYTE  # what lies in the system's buffers included


def test_many_trailers_are_refused(strict: Deployment) -> None:
    head = b"POST /predict HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    answer = send(strict, head + b"1\r\n{\r\n0\r\n" + b"X-Y: z\r\n" * 2000 + b"\r\n")
    assert answer.split(b" ", 2)[1] == b"431"


def test_a_connection_in_use_is_kept(strict: Deployment) -> None:
    with connect(strict) as connection:
        started = time.monotonic()
        for number in range(25):
            pace(started + number * CLIENT_TIMEOUT / 10)
            connection.sendall(b"GET /info HTTP/1.1\r\nHost: x\r\n\r\n")
            assert connection.recv(65536).startswith(b"HTTP/1.1 200 OK")


def pace(due: float) -> None:
    """Have a client do nothing until a moment of the monotonic clock."""
    threading.Event().wait(max(0.0, due - time.monotonic()))


def trickle(connection: socket.socket, piece: bytes) -> float:
    """Send a piece now and then until the other side hangs up; return after how long it did."""
    began = time.monotonic()
    connection.settimeout(0.2)
    while time.monotonic() - began < LONG_SECONDS:
        try:
            connection.sendall(piece)
            if connection.recv(4096) == b"":
                break
        except TimeoutError:
            continue
        except OSError:
            break
    return time.monotonic() - began


SLOW = {
    "head": b"POST /predict HTTP/1.1\r\nHost: x\r\nX-Slow: ",
    "body": b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n{",
    "chunked body": b"POST /predict HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n",
    "nothing": b"",
}


@pytest.mark.parametrize("part", SLOW)
def test_a_client_that_sends_a_byte_now_and_then_is_cut_off(strict: Deployment, part: str) -> None:
    piece = {"chunked body": b"1\r\nx\r\n", "nothing": b""}.get(part, b"x")
    with connect(strict) as connection:
        connection.sendall(SLOW[part])
        assert trickle(connection, piece) < LONG_SECONDS


def test_a_second_request_that_comes_slowly_is_cut_off_too(strict: Deployment) -> None:
    with connect(strict) as connection:
        connection.sendall(b"GET /info HTTP/1.1\r\nHost: x\r\n\r\n")
        connection.recv(65536)
        connection.sendall(SLOW["head"])
        assert trickle(connection, b"x") < LONG_SECONDS


def test_slow_clients_keep_nobody_waiting(lab: Deployment) -> None:
    """Though nothing cuts them off for a minute here."""
    connections = [connect(lab) for _ in range(300)]
    try:
        for number, connection in enumerate(connections):
            connection.sendall(SLOW["body" if number % 2 else "head"])
        for _ in range(20):
            assert requests.get(f"{lab.url}/info", timeout=LONG_SECONDS).ok
    finally:
        for connection in connections:
            connection.close()


def test_a_client_that_takes_its_answer_slowly_is_cut_off(strict: Deployment) -> None:
    body = b'{"value": "%b"}' % (b"x" * 14 * MEGABYTE)
    head = b"POST /predict HTTP/1.1\r\nHost: x\r\nPrefer: wait=20\r\nContent-Length: %d\r\n\r\n"
    with connect(strict) as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.sendall(head % len(body) + body)
        assert connection.recv(1) == b"H"
        port = connection.getsockname()[1]
        api = int(strict.environment["API_PORT"])
        strict.wait(lambda: not is_served(api, port), "the connection is ended", LONG_SECONDS)


def test_a_client_that_takes_its_answer_steadily_gets_all_of_it(strict: Deployment) -> None:
    """At 200 KB/s, of which the server notices little: the kernel holds megabytes for it."""
    body = b'{"value": "%b"}' % (b"x" * 14 * MEGABYTE)
    head = b"POST /predict HTTP/1.1\r\nHost: x\r\nConnection: close\r\nPrefer: wait=20\r\n"
    with connect(strict) as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        connection.sendall(head + b"Content-Length: %d\r\n\r\n" % len(body) + body)
        received = len(connection.recv(1))
        began = time.monotonic()
        while (elapsed := time.monotonic() - began) < 4 * CLIENT_TIMEOUT:
            pace(began + received / 200_000)
            received += len(connection.recv(20_000))
        while part := connection.recv(MEGABYTE):
            received += len(part)
    assert elapsed > 3 * CLIENT_TIMEOUT
    assert received > len(body)


def is_served(api: int, client_port: int) -> bool:
    """Tell whether the API's side of a connection is established."""
    with Path("/proc/net/tcp").open(encoding="ascii") as table:
        return any(
            f":{api:04X}" in fields[1] and f":{client_port:04X}" in fields[2] and fields[3] == "01"
            for fields in map(str.split, table)
        )


def test_a_large_body_that_comes_steadily_is_taken(strict: Deployment) -> None:
    """At 40 KB/s it takes longer than CLIENT_TIMEOUT, which is no reason to end it."""
    body = b'{"value": "%b"}' % (b"x" * 160_000)
    head = b"POST /predict HTTP/1.1\r\nHost: x\r\nConnection: close\r\nPrefer: wait=20\r\n"
    with connect(strict) as connection:
        connection.sendall(head + b"Content-Length: %d\r\n\r\n" % len(body))
        started = time.monotonic()
        for number, at in enumerate(range(0, len(body), 8000)):
            pace(started + 0.2 * number)
            connection.sendall(body[at : at + 8000])
        assert time.monotonic() - started > CLIENT_TIMEOUT
        assert connection.recv(15) == b"HTTP/1.1 200 OK"
