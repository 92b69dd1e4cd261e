"""Requests that are wrong in every way; after each the next good one is answered."""

from __future__ import annotations

import gzip
import http.client
import json
import socket
import zlib
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import requests
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from .deployment import Deployment

MEGABYTE = 2**20


@pytest.fixture(autouse=True)
def next_request_is_answered(lab: Deployment) -> Iterator[None]:
    """Ask a good question after each bad one."""
    yield
    assert lab.predict({"value": "good"}).json() == {"echo": "good"}


def post(lab: Deployment, body: Any, **headers: str) -> requests.Response:
    """POST raw bytes to ``/predict``."""
    return requests.post(f"{lab.url}/predict", data=body, headers=headers, timeout=30)


MALFORMED = {
    "empty": b"",
    "blank": b" \r\n\t ",
    "no JSON": b"hello",
    "cut short": b'{"value": [1, 2',
    "two documents": b'{"value": 1}{"value": 2}',
    "single quotes": b"{'value': 1}",
    "trailing comma": b'{"value": 1,}',
    "not UTF-8": b'{"value": "\xff\xfe"}',
    "UTF-16": '{"value": 1}'.encode("utf-16"),
    "Latin-1": '{"value": "é"}'.encode("latin-1"),
    "NaN": b'{"value": NaN}',
    "infinity": b'{"value": Infinity}',
    "too large a float": b'{"value": 1e999}',
    "lone surrogate": b'{"value": "\\ud800"}',
    "control character": b'{"value": "\x00"}',
    "10,000 levels of lists": b'{"value":' + b"[" * 10_000 + b"]" * 10_000 + b"}",
    "10,000 levels of objects": b'{"a":' * 10_000 + b"1" + b"}" * 10_000,
    "1,000,000 open brackets": b"[" * 1_000_000,
    "500 levels": b'{"value":' + b"[" * 500 + b"]" * 500 + b"}",
    "101 levels": b'{"value":' + b"[" * 100 + b"]" * 100 + b"}",
}


@pytest.mark.parametrize("name", MALFORMED)
def test_what_is_no_json_is_400_malformed(lab: Deployment, name: str) -> None:
    answer = post(lab, MALFORMED[name])
    assert answer.status_code == 400
    assert answer.json()["title"] == "Malformed JSON"
    assert answer.json()["description"]
    assert answer.headers["Content-Type"] == "application/json"
    assert "Denzel-Task-Id" not in answer.headers


@pytest.mark.parametrize("body", [b"[]", b"[1]", b"1", b"1.5", b'"text"', b"true", b"null"])
def test_json_that_is_no_object_is_400_bad_input(lab: Deployment, body: bytes) -> None:
    answer = post(lab, body)
    assert answer.status_code == 400
    assert answer.json()["title"] == "Bad input format"
    assert "object" in answer.json()["description"]


def test_a_hundred_levels_are_accepted(lab: Deployment) -> None:
    value: Any = 1
    for _ in range(99):
        value = [value]
    assert lab.predict({"value": value}).json() == {"echo": value}


def test_many_brackets_that_are_not_deep_are_accepted(lab: Deployment) -> None:
    value = [[each] for each in range(500)]
    assert lab.predict({"value": value, "text": "[[[[" * 100}).json() == {"echo": value}


def test_numbers_beyond_64_bits_are_exact(lab: Deployment) -> None:
    body = (
        b'{"value": [123456789012345678901234567890, -18446744073709551617, 1e308, -0.0, 1E-400]}'
    )
    answer = post(lab, body)
    assert answer.status_code == 200
    assert answer.json()["echo"] == [123456789012345678901234567890, -(2**64) - 1, 1e308, -0.0, 0.0]
    assert str(2**64) in post(lab, b'{"value": {"id": 18446744073709551616}}').text


def test_a_number_of_a_million_digits_is_refused(lab: Deployment) -> None:
    answer = post(lab, b'{"value": ' + b"9" * 1_000_000 + b"}")
    assert answer.status_code == 400
    assert "4300 digits" in answer.json()["description"]


@pytest.mark.parametrize("content_type", ["text/plain", "application/octet-stream", ""])
def test_the_content_type_does_not_matter(lab: Deployment, content_type: str) -> None:
    """Many a client forgets it."""
    answer = post(lab, b'{"value": 1}', **{"Content-Type": content_type})
    assert answer.json() == {"echo": 1}


def test_a_byte_order_mark_is_taken(lab: Deployment) -> None:
    """Windows' editors write it."""
    assert post(lab, b'\xef\xbb\xbf{"value": 1}').json() == {"echo": 1}


# Compression


@pytest.mark.parametrize(
    ("encoding", "pack"), [("gzip", gzip.compress), ("deflate", zlib.compress)]
)
def test_a_compressed_body_is_unpacked(
    lab: Deployment, encoding: str, pack: Callable[[bytes], bytes]
) -> None:
    answer = post(lab, pack(b'{"value": 1}'), **{"Content-Encoding": encoding})
    assert answer.json() == {"echo": 1}


def test_an_unknown_compression_is_415(lab: Deployment) -> None:
    answer = post(lab, b'{"value": 1}', **{"Content-Encoding": "br"})
    assert answer.status_code == 415
    assert answer.headers["Accept-Encoding"] == "gzip, deflate"


def test_a_body_that_is_not_what_it_says_is_400(lab: Deployment) -> None:
    answer = post(lab, b'{"value": 1}', **{"Content-Encoding": "gzip"})
    assert answer.status_code == 400
    assert answer.json()["title"] == "Malformed JSON"


def test_the_limit_holds_for_what_is_unpacked(lab: Deployment) -> None:
    bomb = gzip.compress(b" " * 500 * MEGABYTE, 1)
    assert len(bomb) < 16 * MEGABYTE
    answer = post(lab, bomb, **{"Content-Encoding": "gzip"})
    assert answer.status_code == 413


# Size


def test_20_megabytes_are_413(lab: Deployment) -> None:
    answer = post(lab, b'{"value": "' + b"x" * 20 * MEGABYTE + b'"}')
    assert answer.status_code == 413
    assert answer.json()["title"] == "Body too large"
    assert str(16 * MEGABYTE) in answer.json()["description"]


def test_20_megabytes_in_chunks_of_unknown_sum_are_413(lab: Deployment) -> None:
    """Read as far as the limit and no further."""
    sent = 0

    def chunks() -> Iterator[bytes]:
        nonlocal sent
        for _ in range(20 * 16):
            sent += MEGABYTE // 16
            yield b" " * (MEGABYTE // 16)

    answer = post(lab, chunks())
    assert answer.status_code == 413
    assert answer.json()["title"] == "Body too large"
    assert sent > 15 * MEGABYTE


def test_a_length_that_is_only_announced_is_413_at_once(lab: Deployment) -> None:
    host, port = lab.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        connection.sendall(
            b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: 999999999\r\n\r\n{"
        )
        answer = http.client.HTTPResponse(connection)
        answer.begin()
        assert answer.status == 413


def test_a_large_upload_reads_its_413(lab: Deployment) -> None:
    """Closing the connection at once would reset it, and the answer be lost."""
    host, port = lab.url.removeprefix("http://").split(":")
    size = 64 * MEGABYTE
    head = b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % size
    with socket.create_connection((host, int(port)), timeout=30) as connection:
        connection.sendall(head)
        for _ in range(size // MEGABYTE):
            connection.sendall(b"x" * MEGABYTE)
        answer = http.client.HTTPResponse(connection)
        answer.begin()
        assert answer.status == 413
        assert answer.getheader("Connection") == "close"


def test_a_refused_upload_on_a_connection_to_be_closed_reads_its_answer(lab: Deployment) -> None:
    host, port = lab.url.removeprefix("http://").split(":")
    size = 15 * MEGABYTE
    head = b"POST /nowhere HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: %d\r\n\r\n"
    with socket.create_connection((host, int(port)), timeout=30) as connection:
        connection.sendall(head % size)
        for _ in range(size // MEGABYTE):
            connection.sendall(b"x" * MEGABYTE)
        answer = http.client.HTTPResponse(connection)
        answer.begin()
        assert answer.status == 404


def test_a_body_that_is_too_large_is_not_asked_for(lab: Deployment) -> None:
    host, port = lab.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        connection.sendall(
            b"POST /predict HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\n"
            b"Content-Length: 999999999\r\n\r\n"
        )
        assert connection.recv(65536).startswith(b"HTTP/1.1 413 ")


@pytest.mark.parametrize("prefer", ["wait=30", "respond-async"])
def test_10_megabytes_pass(lab: Deployment, prefer: str) -> None:
    text = "é" * (5 * MEGABYTE)
    body = json.dumps({"value": text}, ensure_ascii=False).encode()
    answer = post(lab, body, Prefer=prefer)
    assert answer.status_code == 200
    if prefer.startswith("wait"):
        assert answer.json() == {"echo": text}
    else:
        status = lab.final_status(answer.headers["Denzel-Task-Id"])
        assert status == {"status": "SUCCESS", "result": {"echo": text}}


def test_a_client_that_waits_for_100_continue_is_served(lab: Deployment) -> None:
    """What curl does with a large body; without the interim answer it stalls for a second."""
    host, port = lab.url.removeprefix("http://").split(":")
    body = b'{"value": 1}'
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        connection.sendall(
            b"POST /predict HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\n"
            b"Content-Length: %d\r\n\r\n" % len(body)
        )
        assert connection.recv(100).startswith(b"HTTP/1.1 100 ")
        connection.sendall(body)
        answer = http.client.HTTPResponse(connection)
        answer.begin()
        assert json.loads(answer.read()) == {"echo": 1}


def test_a_client_that_leaves_in_the_middle_does_no_harm(lab: Deployment) -> None:
    host, port = lab.url.removeprefix("http://").split(":")
    beginnings = [
        b"", b"POST", b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: 50\r\n\r\n{",
        b"POST /predict HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"\x16\x03\x01\x02\x00", b"GET /info HTTP/9.9\r\n\r\n",
    ]  # fmt: skip
    for beginning in beginnings * 5:
        with socket.create_connection((host, int(port)), timeout=10) as connection:
            connection.sendall(beginning)


# verify_input


REFUSED = {
    "ValueError": "no data to predict for!",
    "AssertionError": "AssertionError",
    "KeyError": "KeyError: 'missing'",
    "SystemExit": "SystemExit: leaving",
    "KeyboardInterrupt": "KeyboardInterrupt: pressed",
    "GeneratorExit": "GeneratorExit",
    "CancelledError": "CancelledError: cancelled",
    "StopIteration": "StopIteration: over",
    "StopAsyncIteration": "StopAsyncIteration: over",
    "RecursionError": "RecursionError: maximum recursion depth exceeded",
    "MemoryError": "MemoryError: too much",
    "Stop": "Stop: stopped",
    "Unprintable": "Unprintable: <Unprintable without a text>",
    "surrogate": "?",
    "newlines": "one\r\nX-Injected: yes\r\n\r\ntwo",
    "no such": "KeyError: 'no such'",
}


@pytest.mark.parametrize("name", REFUSED)
def test_whatever_verify_input_raises_is_400_with_its_type_and_message(
    lab: Deployment, name: str
) -> None:
    for _ in range(4):  # in more than one process
        answer = lab.predict({"verify": name})
        assert answer.status_code == 400
        assert answer.json() == {"title": "Bad input format", "description": REFUSED[name]}
        assert "X-Injected" not in answer.headers


@pytest.mark.parametrize(
    ("name", "description"),
    [
        ("unserialisable", 'result["value"] is a Point, which is not JSON-serializable'),
        ("nan", 'result["value"] is NaN'),
        ("none", "does it end with `return json_data`?"),
    ],
)
def test_what_verify_input_returns_must_be_json(
    lab: Deployment, name: str, description: str
) -> None:
    answer = lab.predict({"verify": name})
    assert answer.status_code == 500
    assert answer.json()["title"] == "Broken pipeline"
    assert description in answer.json()["description"]
    assert "verify_input" in answer.json()["description"]


@pytest.mark.parametrize(("name", "echo"), [("list", [1, "two"]), ("numpy", [0, 1, 2])])
def test_process_gets_what_verify_input_returned(lab: Deployment, name: str, echo: Any) -> None:
    assert lab.predict({"verify": name, "value": "other"}).json() == {"echo": echo}


# callback_uri


@pytest.mark.parametrize(
    "uri",
    ["", "nonsense", "ftp://example.com/", "file:///etc/passwd", "http://", "http:///path", "//x",
     "http://[::1", "http://x:port/", "http://x:0/", "http://x:99999/", 3, True, [], {}, ["http://x"]],
)  # fmt: skip
def test_a_callback_uri_that_is_none_is_400_and_nothing_is_queued(
    lab: Deployment, uri: Any
) -> None:
    answer = lab.predict({"callback_uri": uri, "value": 1}, Prefer="respond-async")
    assert answer.status_code == 400
    assert answer.json()["title"] == "Bad input format"
    assert "callback_uri" in answer.json()["description"]
    assert "Denzel-Task-Id" not in answer.headers


@pytest.mark.parametrize("uri", ["nonsense", 3, "http://127.0.0.1:{API_PORT}/predict"])
def test_a_callback_uri_is_not_looked_at_in_a_request_that_is_answered_at_once(
    lab: Deployment, uri: Any
) -> None:
    uri = uri.format(**lab.environment) if isinstance(uri, str) else uri
    assert lab.predict({"callback_uri": uri, "value": 1}).json() == {"echo": 1}
    assert lab.predict({"callback_uri": uri}, Prefer="respond-async").status_code == 400


def test_a_callback_uri_of_null_is_none(lab: Deployment) -> None:
    assert lab.predict({"callback_uri": None, "value": 1}).json() == {"echo": 1}


# Any bytes at all

JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
    | st.integers(-(2**63), 2**64 - 1),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(), inner, max_size=5),
    max_leaves=20,
)  # fmt: skip


@given(body=st.binary(max_size=200))
@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_bytes_are_answered_400_or_predicted(lab: Deployment, body: bytes) -> None:
    assert post(lab, body).status_code in (400, 200)


@given(value=JSON_VALUES)
@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_json_value_arrives_and_comes_back_unchanged(lab: Deployment, value: Any) -> None:
    answer = lab.predict({"value": value})
    assert answer.status_code == 200, answer.text
    assert json.dumps(answer.json()) == json.dumps({"echo": value})
