"""Predictions in pieces, as both clients read them from a server that sends what a test says."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from denzel.client import ApiUnreachable, AsyncClient, Client, PredictionError, UsageError
from denzel.client.events import EventReader

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
BODY = b'{"prompt": "to be"}'
END = b"0\r\n\r\n"
WHOLE = 'event: result\ndata: {"text":"größe"}\n\n'.encode()
ERROR = b'event: error\ndata: {"title":"Prediction failed","description":"ValueError: no"}\n\n'

Ask = Callable[[str], tuple[list[Any], Any]]


@contextmanager
def server(*parts: bytes) -> Iterator[tuple[str, list[bytes]]]:
    """Answer one request with bytes as they are, and hang up; yield the URL, and what was asked."""
    asked: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer() -> None:
            connection, _ = listener.accept()
            with connection:
                request = connection.recv(65536)
                while not request.endswith(BODY):  # the head may come first
                    request += connection.recv(65536)
                asked.append(request)
                for part in parts:
                    connection.sendall(part)

        thread = threading.Thread(target=answer, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}", asked
        thread.join()


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def ask_sync(url: str) -> tuple[list[Any], Any]:
    """Return the pieces that Client gets, and the whole."""
    with Client(url) as client, client.stream({"prompt": "to be"}, timeout=6.5) as stream:
        return list(stream), stream.result


def ask_async(url: str) -> tuple[list[Any], Any]:
    """Return the pieces that AsyncClient gets, and the whole."""

    async def call() -> tuple[list[Any], Any]:
        async with (
            AsyncClient(url) as client,
            client.stream({"prompt": "to be"}, timeout=6.5) as stream,
        ):
            return [piece async for piece in stream], stream.result

    return asyncio.run(call())


@pytest.fixture(params=[ask_sync, ask_async], ids=["sync", "async"])
def ask(request: pytest.FixtureRequest) -> Ask:
    """Ask with one of the clients."""
    found: Ask = request.param
    return found


def test_pieces_and_the_whole_are_told_apart(ask: Ask) -> None:
    pieces = chunk(b'data: {"n":1}\n\n') + chunk(b':\n\ndata: "two"\n\n')
    with server(HEAD, pieces, chunk(WHOLE), END) as (url, asked):
        assert ask(url) == ([{"n": 1}, "two"], {"text": "größe"})
    head, _, body = asked[0].partition(b"\r\n\r\n")
    assert {b"Accept: text/event-stream", b"Prefer: wait=7"} < set(head.split(b"\r\n"))
    assert b"Idempotency-Key" not in head
    assert body == BODY


def test_why_no_more_comes_is_raised(ask: Ask) -> None:
    with (
        server(HEAD, chunk(b'data: "one"\n\n' + ERROR), END) as (url, _),
        pytest.raises(PredictionError, match=r"^Prediction failed: ValueError: no$"),
    ):
        ask(url)


@pytest.mark.parametrize("end", [END, b"", b"fff\r\ndata: "])
def test_a_stream_that_is_cut_off_is_no_whole_one(ask: Ask, end: bytes) -> None:
    with (
        server(HEAD, chunk(b'data: "one"\n\n'), end) as (url, _),
        pytest.raises(ApiUnreachable, match="was cut off"),
    ):
        ask(url)


def test_a_refusal_says_why(ask: Ask) -> None:
    body = b'{"title":"Bad input format","description":"prompt: a text is needed"}'
    answer = b"HTTP/1.1 400 x\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
    with (
        server(answer % len(body), body) as (url, _),
        pytest.raises(PredictionError, match="400 Bad input format: prompt: a text is needed"),
    ):
        ask(url)


def test_an_answer_of_another_kind_is_refused(ask: Ask) -> None:
    with (
        server(b"HTTP/1.1 200 OK\r\nContent-Type: image/png\r\nContent-Length: 0\r\n\r\n") as (
            url,
            _,
        ),
        pytest.raises(PredictionError, match="image/png in place of text/event-stream"),
    ):
        ask(url)


def test_an_api_that_is_down_is_named(ask: Ask, unused_port: int) -> None:
    with pytest.raises(ApiUnreachable, match="cannot be reached"):
        ask(f"http://127.0.0.1:{unused_port}")


def test_a_wait_that_the_api_does_not_take_is_refused() -> None:
    with Client("http://127.0.0.1:1") as client, pytest.raises(UsageError, match="600 s at most"):
        client.stream({}, timeout=601)


def test_events_may_come_in_any_parts() -> None:
    sent = b'data: {"n":1}\n\n:\n\ndata: "two"\n\n' + WHOLE
    for size in range(1, len(sent)):
        reader = EventReader()
        parts = [sent[at : at + size] for at in range(0, len(sent), size)]
        found = [piece for part in parts for piece in reader.feed(part)]
        assert (found, reader.close()) == ([{"n": 1}, "two"], {"text": "größe"})


@pytest.mark.parametrize(
    ("sent", "error"),
    [
        (b'data: {"n":\n\n', ApiUnreachable),
        (b'data: "\xff"\n\n', ApiUnreachable),
        (b"event: \xff\ndata: 1\n\n", ApiUnreachable),  # and no result
        (b"event: error\ndata: zork\n\n", ApiUnreachable),
        (b"event: error\ndata: [1]\n\n", PredictionError),
    ],
)
def test_what_is_no_stream_of_ours_is_an_error_of_ours(sent: bytes, error: type[Exception]) -> None:
    with pytest.raises(error):
        reader = EventReader()
        list(reader.feed(sent))
        reader.close()
