"""Callbacks sent to receivers from hell, over real sockets."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import gzip
import os
import random
import socket
import struct
import time
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.runtime.callbacks.body import Body
from app.runtime.callbacks.schedule import RetrySchedule
from app.runtime.callbacks.sender import DRAIN_SECONDS

from ..ports import free_port
from .receivers import Script, Visit, answering, read_slowly, receiving
from .senders import BODY, HURRIED, PATIENT, SENDER, send, within_the_limit


@pytest.fixture
def stopwatch() -> Iterator[None]:
    """Fail a test whose exchange outlasts its total time limit."""
    with within_the_limit():
        yield


@pytest.mark.usefixtures("stopwatch")
def test_receiver_that_never_answers_is_given_up() -> None:
    def never(visit: Visit) -> None:
        visit.read()
        visit.closing.wait(10)

    with receiving(never) as receiver:
        answer = send(SENDER, receiver.url(), BODY, message_id="id")
    assert answer.status is None and answer.may_be_repeated
    assert answer.error == f"no answer from 127.0.0.1:{receiver.port}: it took too long"


@pytest.mark.usefixtures("stopwatch")
def test_receiver_that_never_reads_is_given_up() -> None:
    with receiving(lambda visit: visit.closing.wait(10)) as receiver:
        answer = send(HURRIED, receiver.url(), b"x" * 2**25, message_id="id")
    assert "took too long" in answer.error and answer.may_be_repeated


@pytest.mark.usefixtures("stopwatch")
def test_receiver_that_reads_slowly_is_given_up() -> None:
    with receiving(read_slowly) as receiver:
        answer = send(HURRIED, receiver.url(), b"x" * 2**26, message_id="id")
    assert "took too long" in answer.error


@pytest.mark.usefixtures("stopwatch")
@pytest.mark.parametrize(
    "dripped",
    [b"HTTP/1.1 200 OK" + b"!" * 9000, b"HTTP/1.1 100 Continue\r\n\r\n"],
    ids=["status line", "interim answers"],
)
def test_dripped_head_is_given_up(dripped: bytes) -> None:
    def drip(visit: Visit) -> None:
        visit.read()
        visit.drip(dripped)

    with receiving(drip) as receiver:
        answer = send(SENDER, receiver.url(), BODY, message_id="id")
    assert "took too long" in answer.error and answer.may_be_repeated


@pytest.mark.usefixtures("stopwatch")
def test_dripped_headers_are_given_up() -> None:
    def drip(visit: Visit) -> None:
        visit.read()
        visit.sock.sendall(b"HTTP/1.1 200 OK\r\n")
        visit.drip(b"X-More: 1\r\n")

    with receiving(drip) as receiver:
        answer = send(SENDER, receiver.url(), BODY, message_id="id")
    assert "took too long" in answer.error and answer.status is None


@pytest.mark.usefixtures("stopwatch")
@pytest.mark.parametrize("framing", ["Content-Length: 1000000", "Transfer-Encoding: chunked"])
def test_dripped_body_changes_nothing_about_the_status(framing: str) -> None:
    def drip(visit: Visit) -> None:
        visit.read()
        visit.sock.sendall(f"HTTP/1.1 200 OK\r\n{framing}\r\n\r\n".encode())
        visit.drip(b"2\r\nab\r\n")

    with receiving(drip) as receiver:
        answer = send(SENDER, receiver.url(), BODY, message_id="id")
    assert answer.is_delivered


def test_dripped_body_holds_a_patient_sender_a_moment_only() -> None:
    def drip(visit: Visit) -> None:
        visit.read()
        visit.sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
        visit.drip(b"x")

    started = time.monotonic()
    with receiving(drip) as receiver:
        assert send(PATIENT, receiver.url(), BODY, message_id="id").is_delivered
    assert time.monotonic() - started < 5


@pytest.mark.parametrize("framing", ["Content-Length: 1000000000000", "X-None: 1"])
def test_endless_body_is_cut(framing: str) -> None:
    sent = 0

    def endless(visit: Visit) -> None:
        nonlocal sent
        visit.read()
        visit.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        visit.sock.sendall(f"HTTP/1.1 200 OK\r\n{framing}\r\n\r\n".encode())
        while not visit.closing.is_set():
            sent += visit.sock.send(b"x" * 1024)

    started = time.monotonic()
    with receiving(endless) as receiver:
        assert send(PATIENT, receiver.url(), BODY, message_id="id").is_delivered
        assert time.monotonic() - started < 5
    assert sent < 16 * 2**20, "the rest stood in the kernel's buffers when the sender closed"


@pytest.mark.parametrize("line", [b"X-More: 1\r\n", b"X-Long: " + b"x" * 60000])
def test_endless_headers_are_cut(line: bytes) -> None:
    def endless(visit: Visit) -> None:
        visit.read()
        visit.sock.sendall(b"HTTP/1.1 200 OK\r\n")
        while not visit.closing.is_set():
            visit.sock.sendall(line)

    with receiving(endless) as receiver:
        answer = send(PATIENT, receiver.url(), BODY, message_id="id")
    assert answer.status is None and answer.may_be_repeated
    assert answer.error.startswith("no answer from")


def test_headers_count_among_the_bytes_read() -> None:
    sparing = dataclasses.replace(PATIENT, max_answer_bytes=100)
    with receiving(answering("200 OK"), answering("200 OK", "X-Long: " + "x" * 100)) as receiver:
        assert send(sparing, receiver.url(), BODY, message_id="id").is_delivered
        answer = send(sparing, receiver.url(), BODY, message_id="id")
    assert answer.error.endswith("its headers are too long") and answer.may_be_repeated


def reset(visit: Visit) -> None:
    visit.read()
    visit.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        (reset, "Connection reset by peer"),
        (Visit.read, "it closed the connection"),
        (lambda visit: (visit.read(), visit.sock.sendall(b"SSH-2.0-x\r\n")), "is no HTTP"),
    ],
    ids=["reset", "closed", "another protocol"],
)
def test_broken_answer_is_tried_again(script: Script, reason: str) -> None:
    with receiving(script) as receiver:
        answer = send(PATIENT, receiver.url(), BODY, message_id="id")
    assert answer.status is None and answer.may_be_repeated
    assert reason in answer.error


def test_refused_connection_is_tried_again() -> None:
    port = free_port()
    answer = send(PATIENT, f"http://127.0.0.1:{port}/", BODY, message_id="id")
    assert answer.error == f"no connection to 127.0.0.1:{port}: Connection refused"
    assert answer.may_be_repeated


def test_answer_before_the_body_was_read_is_taken() -> None:
    def too_large(visit: Visit) -> None:
        visit.sock.recv(1)
        visit.answer("413 Content Too Large")  # and close, which resets the connection

    with receiving(too_large) as receiver:
        answer = send(PATIENT, receiver.url(), b"x" * 2**25, message_id="id")
    assert answer.status == 413 and not answer.may_be_repeated


def test_500_then_200() -> None:
    rng = random.Random(1)
    with receiving(answering("500 Oops"), answering("200 OK")) as receiver:
        first = send(PATIENT, receiver.url(), BODY, message_id="id")
        assert RetrySchedule().next_delay(1, 0, first, rng) is not None
        second = send(PATIENT, receiver.url(), BODY, message_id="id")
    assert first.error == "the receiver answered 500"
    assert second.is_delivered and RetrySchedule().next_delay(2, 5, second, rng) is None


def test_429_with_retry_after() -> None:
    with receiving(answering("429 Slow down", "Retry-After: 90")) as receiver:
        answer = send(PATIENT, receiver.url(), BODY, message_id="id")
    assert (answer.status, answer.retry_after) == (429, 90)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirect_to_an_inside_address_is_not_followed(status: int) -> None:
    with receiving(answering("200 OK")) as inside:
        redirect = answering(f"{status} There", f"Location: {inside.url()}")
        with receiving(redirect) as receiver:
            answer = send(PATIENT, receiver.url(), BODY, message_id="id")
    assert not inside.visits
    assert (answer.status, answer.is_delivered, answer.may_be_repeated) == (status, False, False)
    assert "not followed" in answer.error


def test_interim_answers_are_not_the_answer() -> None:
    def answer(visit: Visit) -> None:
        visit.read()
        visit.sock.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        visit.sock.sendall(b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n")
        visit.answer("204 No Content")

    with receiving(answer) as receiver:
        assert send(PATIENT, receiver.url(), BODY, message_id="id").status == 204


def test_switching_protocols_is_an_answer() -> None:
    switch = answering("101 Switching Protocols", "Upgrade: x", "Connection: upgrade")
    with receiving(switch) as receiver:
        answer = send(PATIENT, receiver.url(), BODY, message_id="id")
    assert answer.status == 101 and not answer.is_delivered


def test_endless_interim_answers_are_cut() -> None:
    sent = 0

    def endless(visit: Visit) -> None:
        nonlocal sent
        visit.read()
        visit.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        while not visit.closing.is_set():
            sent += visit.sock.send(b"HTTP/1.1 100 Continue\r\n\r\n" * 40)

    started = time.monotonic()
    with receiving(endless) as receiver:
        answer = send(PATIENT, receiver.url(), BODY, message_id="id")
        assert time.monotonic() - started < 10
    assert answer.status is None and answer.error.endswith("its headers are too long")
    assert sent < 16 * 2**20


def test_long_and_many_headers_of_an_honest_receiver_are_read() -> None:
    headers = ["X-Long: " + "x" * 20000, *(f"X-Number-{number}: 1" for number in range(200))]
    sender = dataclasses.replace(PATIENT, max_answer_bytes=64 * 1024)
    with receiving(answering("200 OK", *headers)) as receiver:
        assert send(sender, receiver.url(), BODY, message_id="id").is_delivered


def test_a_compressed_answer_is_not_unpacked() -> None:
    bomb = gzip.compress(b"x" * 2**26)
    headers = ("Content-Encoding: gzip", "Retry-After: 7")
    sender = dataclasses.replace(PATIENT, max_answer_bytes=2**20)
    with receiving(answering("503 Busy", *headers, body=bomb)) as receiver:
        tracemalloc.start()
        answer = send(sender, receiver.url(), BODY, message_id="id")
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert (answer.status, answer.retry_after) == (503, 7)
    assert peak < 2**24


def test_cookies_are_neither_kept_nor_sent() -> None:
    async def twice(uri: str) -> None:
        async with PATIENT:
            for _ in range(2):
                async with PATIENT.admit(uri) as admission:
                    await PATIENT.send(admission, Body.from_bytes(BODY), message_id="id")

    with receiving(answering("200 OK", "Set-Cookie: a=b; Path=/")) as receiver:
        asyncio.run(twice(receiver.url()))
    assert len(receiver.visits) == 2
    assert all("cookie" not in visit.headers for visit in receiver.visits)


def test_connections_to_receivers_that_do_not_read_are_closed() -> None:
    """Although there is something to send on them, for which a gentle end would wait for ever."""

    async def send_and_count(uri: str) -> int:
        async with SENDER:
            async with SENDER.admit(uri) as admission:
                body = Body.from_bytes(b"x" * 2**25)
                answer = await SENDER.send(admission, body, message_id="id")
            assert "took too long" in answer.error
            await asyncio.sleep(0.1)
            return open_connections(admission.target.port)

    with receiving(lambda visit: visit.closing.wait(10)) as receiver:
        assert asyncio.run(send_and_count(receiver.url())) == 0


def open_connections(port: int) -> int:
    """Return how many sockets of this process are connected to a port."""
    count = 0
    for entry in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError), socket.socket(fileno=os.dup(int(entry.name))) as sock:
            count += sock.getpeername()[1:2] == (port,)
    return count


def test_an_upload_that_its_receiver_accepts_early_is_completed() -> None:
    body = b"x" * 2**25

    def accept_early(visit: Visit) -> None:
        data = visit.sock.recv(1024)
        visit.answer("202 Accepted")
        visit.closing.wait(2 * DRAIN_SECONDS)
        received = len(data.partition(b"\r\n\r\n")[2])
        while received < len(body):
            received += len(visit.sock.recv(65536)) or len(body)
        visit.body = b"x" * received

    async def deliver(uri: str) -> int | None:
        async with PATIENT:
            async with PATIENT.admit(uri) as admission:
                answer = await PATIENT.send(admission, Body.from_bytes(body), message_id="id")
            while not receiver.visits[0].body:  # until the rest has left
                await asyncio.sleep(0.01)
            return answer.status

    with receiving(accept_early) as receiver:
        assert asyncio.run(asyncio.wait_for(deliver(receiver.url()), 20)) == 202
    assert len(receiver.visits[0].body) == len(body)
