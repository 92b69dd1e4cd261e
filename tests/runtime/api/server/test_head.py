"""Heads that are refused before any of the request's body is read."""

from __future__ import annotations

import pytest

from app.runtime.api.server.head import (
    MAX_HEADERS,
    Header,
    Limits,
    check_head,
    check_header,
    check_target,
)
from app.runtime.api.server.refusal import Refused

LIMITS = Limits(timeout=1.0, max_header_bytes=100, max_body_bytes=1000, max_connections=10)
HOST = (b"host", b"x")


@pytest.mark.parametrize(
    ("version", "headers"),
    [
        ("1.1", [HOST]),
        ("1.0", []),
        ("1.0", [HOST]),
        ("1.1", [HOST, (b"transfer-encoding", b"Chunked")]),
        ("1.1", [HOST, (b"content-length", b"1000")]),
    ],
)
def test_what_every_server_reads_alike_is_taken(version: str, headers: list[Header]) -> None:
    check_head(version, headers, LIMITS)


@pytest.mark.parametrize(
    ("status", "version", "headers"),
    [
        (400, "1.1", []),
        (400, "1.1", [HOST, HOST]),
        (400, "1.0", [HOST, (b"host", b"y")]),
        (400, "2.0", [HOST]),
        (400, "1.0", [(b"transfer-encoding", b"chunked")]),
        (400, "1.1", [HOST, (b"transfer-encoding", b"chunked, gzip")]),
        (400, "1.1", [HOST, (b"transfer-encoding", b"chunked")] * 2),
        (501, "1.1", [HOST, (b"transfer-encoding", b"gzip, chunked")]),
        (501, "1.1", [HOST, (b"transfer-encoding", b"gzip"), (b"transfer-encoding", b"chunked")]),
        (501, "1.1", [HOST, (b"transfer-encoding", b"")]),
        (413, "1.1", [HOST, (b"content-length", b"1001")]),
        (413, "1.1", [HOST, (b"content-length", b"9" * 40)]),
    ],
)
def test_what_is_refused(status: int, version: str, headers: list[Header]) -> None:
    with pytest.raises(Refused) as refused:
        check_head(version, headers, LIMITS)
    assert refused.value.refusal.status == status


def test_long_lines_are_refused() -> None:
    check_target(b"x" * 100, LIMITS)
    check_header(b"x" * 50, b"y" * 50, MAX_HEADERS, LIMITS)
    with pytest.raises(Refused, match="100 bytes"):
        check_target(b"x" * 101, LIMITS)
    with pytest.raises(Refused, match="100 bytes"):
        check_header(b"x" * 50, b"y" * 51, 1, LIMITS)
    with pytest.raises(Refused, match="100 headers"):
        check_header(b"x", b"y", MAX_HEADERS + 1, LIMITS)
