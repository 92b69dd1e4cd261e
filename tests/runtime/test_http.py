"""What the API makes of HTTP that browsers and common clients do not send, or send rarely."""

from __future__ import annotations

import contextlib
import re
import socket
import time

import pytest
import requests

from .deployment import Deployment

HOST = b"Host: x\r\n"
BODY = b'{"value": 7}'
LENGTH = b"Content-Length: %d\r\n" % len(BODY)
SECONDS = 20.0


def talk(lab: Deployment, *parts: bytes, half_close: bool = False) -> bytes:
    """Send raw bytes and return all that is answered until the API hangs up."""
    port = int(lab.environment["API_PORT"])
    with socket.create_connection(("127.0.0.1", port), timeout=SECONDS) as connection:
        for part in parts:
            connection.sendall(part)
        if half_close:
            connection.shutdown(socket.SHUT_WR)
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
    asked = [post(b"Content-Length: %d\r\n" % len(each), body=each) for each in bodies]
    asked[-1] = post(LENGTH, CLOSE, body=bodies[-1])
    answer = talk(lab, b"".join(asked))
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
        post(LENGTH, b"Host: other\r\n"),
        post(LENGTH, HOST),
        post(LENGTH, b"Host: other\r\n", version=b"1.0"),
        post(LENGTH).replace(HOST, b""),
        post(b"Transfer-Encoding: chunked\r\n", version=b"1.0", body=b"0\r\n\r\n"),
        post(b"Transfer-Encoding: chunked\r\n" * 2, body=b"0\r\n\r\n"),
    ],
)
def test_what_two_servers_might_read_differently_is_refused(
    lab: Deployment, request_: bytes
) -> None:
    answer = talk(lab, request_)
    assert answer.startswith(b"HTTP/1.1 400 Bad Request\r\n")
    assert answer.count(b"HTTP/1.1 ") == 1
    assert b"content-type: application/json\r\n" in answer


@pytest.mark.parametrize(
    "coding", [b"gzip, chunked", b"gzip", b"identity", b"x", b"gzip\r\nTransfer-Encoding: chunked"]
)
def test_a_transfer_coding_that_is_not_known_is_501(lab: Deployment, coding: bytes) -> None:
    request = post(b"Transfer-Encoding: %b\r\n" % coding, body=b"2\r\n{}\r\n0\r\n\r\n")
    answer = talk(lab, request)
    assert answer.startswith(b"HTTP/1.1 501 Not Implemented\r\n")
    assert b"content-type: application/json\r\n" in answer


def test_a_request_of_http_1_0_needs_no_host(lab: Deployment) -> None:
    assert b" 200 OK\r\n" in talk(lab, post(LENGTH, version=b"1.0").replace(HOST, b""))


# A client that has said all it has to say


def test_a_client_that_half_closes_gets_its_answer(lab: Deployment) -> None:
    answer = talk(lab, post(LENGTH), half_close=True)
    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
    assert answer.endswith(b'{"echo":7}')


def test_a_client_that_half_closes_gets_all_its_answers(lab: Deployment) -> None:
    slow = b'{"do": "sleep", "seconds": 0.3}'
    request = post(b"Content-Length: %d\r\n" % len(slow), body=slow)
    answer = talk(lab, request + post(LENGTH) * 2 + b"nonsense\r\n\r\n", half_close=True)
    assert re.findall(rb"HTTP/1.1 (\d+)", answer) == [b"200", b"200", b"200", b"400"]


def test_a_client_that_half_closes_and_waits_long_gets_its_answer(lab: Deployment) -> None:
    """Whether it is still there is found out by an interim answer, which clients skip."""
    slow = b'{"do": "sleep", "seconds": 3}'
    answer = talk(lab, post(b"Content-Length: %d\r\n" % len(slow), body=slow), half_close=True)
    assert re.findall(rb"HTTP/1.1 (\d+)", answer)[-1] == b"200"
    assert answer.startswith(b"HTTP/1.1 100 Continue\r\n\r\n")
    assert answer.endswith(b'{"slept":3}')


def test_a_request_that_ends_in_the_middle_is_not_waited_for(lab: Deployment) -> None:
    assert talk(lab, post(b"Content-Length: 100\r\n"), half_close=True) == b""


# What means the same


def test_head_is_get_without_a_body(lab: Deployment) -> None:
    task_id = lab.accept({"value": 1})
    lab.final_status(task_id)
    for path in ("/info", f"/status/{task_id}"):
        get, head = (requests.request(each, lab.url + path, timeout=10) for each in ("GET", "HEAD"))
        assert (head.status_code, head.content) == (200, b"")
        for name in ("Content-Type", "Content-Length"):
            assert head.headers[name] == get.headers[name]
    assert requests.head(f"{lab.url}/status/unknown", timeout=10).status_code == 404


def test_a_slash_at_the_end_makes_no_difference(lab: Deployment) -> None:
    assert requests.get(f"{lab.url}/info/", timeout=10).ok
    answer = requests.post(f"{lab.url}/predict/", json={"value": 1}, timeout=20)
    assert answer.json() == {"echo": 1}
    task_id = answer.headers["Denzel-Task-Id"]
    assert requests.get(f"{lab.url}/status/{task_id}/", timeout=10).ok


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
