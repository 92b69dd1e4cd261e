"""What hostile and broken clients send, and how it is sent."""

from __future__ import annotations

import json
import re
import select
import socket
from contextlib import suppress

from hypothesis import strategies as st

ANSWER_SECONDS = 20
PATIENCE_SECONDS = 0.2
PATHS = ("/predict", "/info", "/status/x", "/status/x?wait=1", "/cancel/x", "/", "*")
METHODS = ("GET", "POST", "PUT", "DELETE", "OPTIONS", "HEAD", "TRACE", "CONNECT", "PATCH")
STATUS_LINE = re.compile(rb"^HTTP/1\.[01] (\d{3})", re.MULTILINE)

ODDITIES = (
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(500),
    b"GET / HTTP/9.9\r\nHost: x\r\n\r\n",
    b"GET /info HTTP/1.1\r\n\r\n",
    b"GET /info HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
    b"GET /info\r\n\r\n",
    b"\r\n" * 1000 + b"GET /info HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET /info HTTP/1.1\r\nHost: x\r\nX: " + b"a" * 100_000 + b"\r\n\r\n",
    b"GET /info HTTP/1.1\r\nHost: x\r\n" + b"X: y\r\n" * 10_000 + b"\r\n",
    b"GET /info HTTP/1.1\r\nHost: x\r\nno colon at all\r\n\r\n",
    b"GET /info HTTP/1.1\r\nHost: x\r\n folded: y\r\n\r\n",
    b"GET /info HTTP/1.1\r\nHost: x\r\nX: a\0b\r\n\r\n",
    b"GET /\0 HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET /status/%00%ff%c3%28 HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET /status/..%2f..%2fetc%2fpasswd HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET /status/" + b"%f0%9f%92%a9" * 300 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET http://[::1/info HTTP/1.1\r\nHost: x\r\n\r\n",
    b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n"
    b"0\r\n\r\nGET /info HTTP/1.1\r\nHost: x\r\n\r\n",
    b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}}",
    b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: +2\r\n\r\n{}",
    b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: -2\r\n\r\n{}",
    b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999\r\n\r\n{}",
    b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: 100000000\r\n\r\n{}",
    b"POST /predict HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n{}",
    b"POST /predict HTTP/1.1\r\nHost: x\r\nExpect: miracles\r\nContent-Length: 2\r\n\r\n{}",
    b"POST /predict HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    b"POST /predict HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    + b"f" * 17
    + b"\r\n{}",
    b"POST /predict HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\n{}\r\n0\r\n\r\n",
    b"POST /predict HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n2;"
    + b"x" * 70_000
    + b"\r\n{}\r\n0\r\n\r\n",
    b"POST /predict HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n"
    + b"X: y\r\n" * 10_000
    + b"\r\n",
    b"GET /info HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n",
    b"GET /info HTTP/1.1\r\nHost: x\r\nUpgrade: h2c\r\nHTTP2-Settings: AAA\r\n"
    b"Connection: Upgrade, HTTP2-Settings\r\n\r\n",
    b"GET /info HTTP/1.1\r\nHost: x\r\n\r\n" * 200,
)
"""Whole requests that somebody once broke a server with, or might."""


def nested(depth: int, opening: bytes = b"[", closing: bytes = b"]") -> bytes:
    """Return JSON that is nested ``depth`` levels deep."""
    return b'{"data":' + opening * depth + b"1" + closing * depth + b"}"


BODIES = (
    b"", b" ", b"null", b"[]", b"1", b'"x"', b"{", b"}", b"{}", b"nul", b"\xff\xfe{}",
    b"\xef\xbb\xbf{}",
    b'{"a":NaN}', b'{"a":Infinity}', b'{"a":1e999}', b'{"a":' + b"9" * 5000 + b"}",
    b'{"a":-' + b"9" * 400 + b"." + b"9" * 400 + b"e-400}", b'{"a":"\\ud800"}',
    b'{"a":"\xed\xa0\x80"}',
    b'{"a":1,"a":2}', b'{"number":1e308}', b'{"number":-1}', b'{"":{"":{"":[]}}}',
    nested(10_000), nested(90), nested(101), nested(5000, b'{"a":', b"}"), b"[" * 1_000_000,
    b'{"a":"' + b"x" * 1_000_000 + b'"}', b'{"a":"' + b"\\u0000" * 1000 + b'"}',
    b'{"a":[' + b"0," * 100_000 + b"0]}",
    b"{" + b",".join(b'"%d":0' % number for number in range(20_000)) + b"}",
    b'{"a":"' + b"x" * (17 * 2**20) + b'"}',
)  # fmt: skip

uris = st.sampled_from(
    ["http://", "ftp://x/", "http://[::1", "http://127.1:99999/", "http://\u2100.example/", "//x",
     "http://x:y@z/", "http://a b/", "http://x/\r\nX: y", "gopher://127.0.0.1/", "http://0x7f.1/",
     "http://169.254.169.254/latest", "http://" + "a" * 300 + ".example/", "http://xn--/",
     "x" * 9000]
)  # fmt: skip
json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(min_value=10**15, max_value=10**40)
    | st.floats()
    | st.text(max_size=40),
    lambda inner: (
        st.lists(inner, max_size=6) | st.dictionaries(st.text(max_size=9), inner, max_size=6)
    ),
    max_leaves=25,
)
plain_objects = st.dictionaries(st.text(max_size=12), json_values, max_size=5)
calling_objects = st.builds(
    lambda items, uri: {**items, "callback_uri": uri}, plain_objects, uris | json_values
)
json_objects = plain_objects | plain_objects.map(dict) | calling_objects
encoded_objects = json_objects.map(lambda value: json.dumps(value).encode("utf-8", "surrogatepass"))

tokens = st.from_regex(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,20}", fullmatch=True).map(str.encode)
header_values = (
    st.binary(max_size=60)
    | st.text(max_size=30).map(lambda text: text.encode("utf-8", "surrogatepass"))
    | st.integers().map(lambda number: b"%d" % number)
)
known_headers = st.sampled_from(
    [b"Host", b"Prefer", b"Idempotency-Key", b"Content-Type", b"Content-Length", b"Expect",
     b"Transfer-Encoding", b"Connection", b"Authorization", b"X-API-Key", b"Range", b"Cookie",
     b"Accept", b"Accept-Encoding", b"Content-Encoding", b"X-Forwarded-For", b"Upgrade", b"TE"]
)  # fmt: skip
telling_values = st.sampled_from(
    [b"respond-async", b"wait=0", b"wait=-1", b"wait=1e9", b"wait=nan", b"wait=" + b"9" * 400,
     b"respond-async, wait=0", b"wait=\"0\"", b";,;,=", b"chunked", b"gzip", b"identity", b"close",
     b"upgrade", b"100-continue", b"bytes=0-", b"application/json; charset=\xff", b"0", b"2",
     b"00002"]
)  # fmt: skip
headers = st.lists(st.tuples(known_headers | tokens, header_values | telling_values), max_size=8)
methods = st.sampled_from(METHODS).map(str.encode) | tokens
targets = st.sampled_from(PATHS).map(str.encode) | st.binary(max_size=80).map(
    lambda text: b"/" + text
)
waits = st.sampled_from(
    ["", "0", "-1", "1.5", "1e3", "nan", "\u0661", "9" * 500, "%00", "a&wait=0"]
)


def request(
    method: bytes, target: bytes, version: bytes, headers: list[tuple[bytes, bytes]], body: bytes
) -> bytes:
    """Return a request as it stands on the wire, right or wrong."""
    lines = [b"%b %b %b" % (method, target, version), *(b"%b: %b" % pair for pair in headers)]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


requests = st.builds(
    request,
    methods,
    targets,
    st.sampled_from([b"HTTP/1.1", b"HTTP/1.0", b"HTTP/2", b"HTTP/0.9", b"", b"FTP/1.1"]),
    headers,
    st.binary(max_size=200) | encoded_objects,
)
chunked = st.builds(
    lambda chunks, tail: (
        b"POST /predict HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
        + b"".join(b"%b\r\n%b\r\n" % chunk for chunk in chunks)
        + tail
    ),
    st.lists(
        st.tuples(
            st.integers(0, 300).map(lambda size: b"%x" % size) | st.binary(max_size=12),
            st.binary(max_size=200),
        ),
        max_size=5,
    ),
    st.sampled_from([b"0\r\n\r\n", b"", b"0\r\nX: y\r\n\r\n", b"0\r\n", b"x"]),
)


def post(body: bytes, *headers: tuple[bytes, bytes], length: int | None = None) -> bytes:
    """Return a request for a prediction; ``length`` is its Content-Length, if not the true one."""
    size = len(body) if length is None else length
    fields = [
        (b"Host", b"x"),
        (b"Content-Length", b"%d" % size),
        (b"Connection", b"close"),
        *headers,
    ]
    return request(b"POST", b"/predict", b"HTTP/1.1", fields, body)


def exchange(port: int, data: bytes, patience: float = PATIENCE_SECONDS) -> list[int]:
    """Send bytes, close the sending side, and return the statuses of all answers.

    The sending side stays open for ``patience`` seconds, or until an answer begins.  A connection
    that is closed without an answer has none.  Raises TimeoutError when the server neither
    answers nor closes.
    """
    received = b""
    with socket.create_connection(("127.0.0.1", port), timeout=ANSWER_SECONDS) as connection:
        with suppress(ConnectionError):  # the server may have had enough before all is sent
            connection.sendall(data)
            # A server that reads on is told that there is no more; one that is at work would
            # take that for a client that has gone.
            select.select([connection], [], [], patience)
            with suppress(OSError):  # it is closed already
                connection.shutdown(socket.SHUT_WR)
        with suppress(ConnectionError):
            while chunk := connection.recv(65536):
                received += chunk
    return [int(status) for status in STATUS_LINE.findall(received)]
