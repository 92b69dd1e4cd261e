"""Requests that offer another protocol, as Java's client makes with every request."""

from __future__ import annotations

from collections.abc import Iterable

MAX_OFFERS = 10
"""Requests with an offer, sent all at once: each is a step deeper into the parser."""


def without_offer(
    method: bytes, target: bytes, version: str, headers: Iterable[tuple[bytes, bytes]]
) -> bytes:
    """Return a request's head without its offer, to be read again.

    The parser takes what follows an offer for the other protocol, though it may be ignored
    (RFC 9110, section 7.8) and then the request's body follows.
    """
    lines = [b"%b %b HTTP/%b" % (method, target, version.encode())]
    lines += [b"%b: %b" % header for header in headers if header[0] != b"upgrade"]
    return b"\r\n".join([*lines, b"", b""])
