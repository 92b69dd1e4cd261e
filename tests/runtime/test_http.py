"""What the API makes of HTTP that browsers and common clients do not send, or send rarely."""

from __future__ import annotations

import contextlib
import re
import socket
import time

import pytest

from .deployment import Deployment

HOST = b"Host: x\r\n"
BODY = b'{"value": 7}'
LENGTH = b"Content-Length: %d\r\n" % len(BODY)
SECONDS = 20.0


def talk(lab: Deployment, *parts: bytes) -> bytes:
    """Send raw bytes and return all that is answered until the API hangs up."""
    port = int(lab.environment["API_PORT"])
    with socket.create_connection(("127.0.0.1", port), timeout=SECONDS) as connection:
        for part in parts:
            connection.sendall(part)
        answer = b""
        while received := connection.recv(65536):
            answer += received
        return answer


def post(*headers: bytes, version: bytes = b"1.1", body: bytes = BODY) -> bytes:
    """Return a request for a prediction."""
    return b"POST /predict HTTP/%b\r\n%b%b\r\n%b" % (version, HOST, b"".join(headers), body)


CLOSE = b"Connection: close\r\n"


def test_pipelined_requests_are_answered_in_order(lab: Deployment) -> None:
    bodies = [b'{"value": %d}' % number for number in range(5)]
    requests = [post(b"Content-Length: %d\r\n" % len(each), body=each) for each in bodies]
    requests[-1] = post(LENGTH, CLOSE, body=bodies[-1])
    answer = talk(lab, b"".join(requests))
    assert [answer.count(b'{"echo":%d}' % number) for number in range(5)] == [1] * 5
    places = [answer.index(b'{"echo":%d}' % number) for number in range(5)]
    assert places == sorted(places)


def test_what_came_before_nonsense_is_answered_first(lab: Deployment) -> None:
    answer = talk(lab, post(LENGTH) * 2 + b"nonsense\r\n\r\n")
    assert re.findall(rb"HTTP/1.1 (\d+)", answer) == [b"200", b"200", b"400"]


def test_no_more_is_read_of_a_client_that_asks_faster_than_it_is_answered(lab: Deployment) -> None:
    slow = b'{"do": "sleep", "seconds": 2}'
    request = post(b"Content-Length: %d\r\n" % len(slow), body=slow)
    port = int(lab.environment["API_PORT"])
    with socket.create_connection(("127.0.0.1", port), timeout=0.5) as connection:
        sent = 0
        with contextlib.suppress(TimeoutError):
            while sent < 64 * 2**20:
                sent += connection.send(request * 500)
        assert sent < 16 * 2**20  # what lies in the system's buffers included


def test_http_1_0_is_answered_and_ended(lab: Deployment) -> None:
    answer = talk(lab, post(LENGTH, version=b"1.0"))
    assert b" 200 OK\r\n" in answer
    assert answer.endswith(b'{"echo":7}')


def test_a_client_that_asks_whether_to_go_on_is_told_to(lab: Deployment) -> None:
    port = int(lab.environment["API_PORT"])
    with socket.create_connection(("127.0.0.1", port), timeout=SECONDS) as connection:
        connection.sendall(post(LENGTH, CLOSE, b"Expect: 100-continue\r\n", body=b""))
        assert connection.recv(65536) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(BODY)
        assert connection.recv(65536).startswith(b"HTTP/1.1 200 OK\r\n")


def test_an_offer_of_http_2_does_not_lose_the_body(lab: Deployment) -> None:
    """Java's client makes it with every request."""
    offer = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n"
    port = int(lab.environment["API_PORT"])
    with socket.create_connection(("127.0.0.1", port), timeout=SECONDS) as connection:
        for _ in range(2):
            connection.sendall(post(LENGTH, offer))
            answer = connection.recv(65536)
            assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
            assert answer.endswith(b'{"echo":7}')


def test_offers_of_http_2_in_a_row_are_all_taken(lab: Deployment) -> None:
    offer = b"Connection: Upgrade\r\nUpgrade: h2c\r\n"
    few = [post(LENGTH, offer)] * 5 + [post(LENGTH, CLOSE)]
    assert talk(lab, b"".join(few)).count(b'{"echo":7}') == 6
    many = talk(lab, post(LENGTH, offer) * 1000)
    assert b"HTTP/1.1 400 Bad Request\r\n" in many


def test_a_header_after_the_body_counts_for_nothing(lab: Deployment) -> None:
    chunks = b"%x\r\n%b\r\n0\r\nPrefer: respond-async\r\n\r\n" % (len(BODY), BODY)
    answer = talk(lab, post(b"Transfer-Encoding: chunked\r\n", CLOSE, body=chunks))
    assert answer.endswith(b'{"echo":7}')


def test_an_answer_leaves_in_one_piece(lab: Deployment) -> None:
    """Each write is a system call here and wakes the client there."""
    port = int(lab.environment["API_PORT"])
    with socket.create_connection(("127.0.0.1", port), timeout=SECONDS) as connection:
        for _ in range(20):
            connection.sendall(post(LENGTH))
            assert connection.recv(65536).endswith(b'{"echo":7}')


@pytest.mark.parametrize(
    "request_",
    [
        post(LENGTH, b"Transfer-Encoding: chunked\r\n"),
        post(LENGTH, b"Content-Length: 5\r\n"),
        post(b"Content-Length: 5, 6\r\n"),
        post(b"Content-Length: +12\r\n"),
        post(b"Content-Length: -1\r\n"),
        post(b"Content-Length : 12\r\n"),
        post(b"Transfer-Encoding: chunked\r\n", body=b"zz\r\n{}\r\n0\r\n\r\n"),
        post(b"Transfer-Encoding: chunked\r\n", body=b"-2\r\n{}\r\n0\r\n\r\n"),
        post(b"Transfer-Encoding: chunked, identity\r\n", body=b"2\r\n{}\r\n0\r\n\r\n"),
        post(LENGTH, b" folded: x\r\n"),
        post(LENGTH, b"X-Null: a\x00b\r\n"),
        b"POST /predict HTTP/1.1 \r\n\r\n\r\n",
        b"nonsense\r\n\r\n",
        post(LENGTH, version=b"0.9"),
        post(LENGTH, version=b"2.0"),
        b"CONNECT example.com:443 HTTP/1.1\r\nHost: example.com\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    ],
)
def test_what_two_servers_might_read_differently_is_refused(
    lab: Deployment, request_: bytes
) -> None:
    answer = talk(lab, request_)
    assert answer.startswith(b"HTTP/1.1 400 Bad Request\r\n")
    assert answer.count(b"HTTP/1.1 ") == 1
    assert b"content-type: application/json\r\n" in answer


def test_a_client_that_leaves_is_no_error_of_the_api(lab: Deployment) -> None:
    port = int(lab.environment["API_PORT"])
    log = lab.services["api"].output
    before = log().count("Traceback")
    for _ in range(5):
        with socket.create_connection(("127.0.0.1", port), timeout=SECONDS) as connection:
            slow = b'{"do": "sleep", "seconds": 0.2}'
            connection.sendall(post(b"Content-Length: %d\r\n" % len(slow), body=slow))
    began = time.monotonic()
    while time.monotonic() - began < 1:
        assert talk(lab, post(LENGTH, CLOSE)).endswith(b'{"echo":7}')
    assert log().count("Traceback") == before
