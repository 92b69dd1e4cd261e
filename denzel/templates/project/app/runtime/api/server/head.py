"""Check a request's head: its size, and that no other server could read it differently.

Two servers in a row that disagree about where a request ends, or whom it is for, let one client
smuggle a request into another's connection.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from app.runtime.api.server.refusal import Refusal, Refused

MAX_HEADERS = 100
HTTP_VERSIONS = ("1.1", "1.0")
"""Those whose requests look the way the parser reads them; it lets 0.9 and 2.0 pass."""

Header = tuple[bytes, bytes]


@dataclass(frozen=True)
class Limits:
    """What one client may cost; ``timeout`` is how many seconds its connection may stall."""

    timeout: float
    max_header_bytes: int
    max_body_bytes: int
    max_connections: int


def check_target(target: bytes, limits: Limits) -> None:
    """Raise Refused for a request line that is too long."""
    if len(target) > limits.max_header_bytes:
        raise Refused(too_long(414, "The request's target", limits))


def check_header(name: bytes, value: bytes, count: int, limits: Limits) -> None:
    """Raise Refused for a header that is too long, or one too many."""
    if len(name) + len(value) > limits.max_header_bytes:
        raise Refused(too_long(431, "A header", limits))
    if count > MAX_HEADERS:
        raise Refused(Refusal(431, f"A request may have {MAX_HEADERS} headers at most"))


def check_head(version: str, headers: Sequence[Header], limits: Limits) -> None:
    """Raise Refused for a head that is complete and not to be answered (RFC 9112)."""
    if version not in HTTP_VERSIONS:
        raise Refused(Refusal(400, "The request's version of HTTP is not spoken here"))
    hosts, codings = 0, []
    for name, value in headers:
        if name == b"host":
            hosts += 1
        elif name == b"content-length":
            _check_length(value, limits)
        elif name == b"transfer-encoding":
            codings.append(value)
    if hosts != 1 and (hosts or version == "1.1"):  # section 3.2
        raise Refused(Refusal(400, f"A request has one Host header, not {hosts}"))
    if codings:
        _check_codings(version, b",".join(codings))


def _check_codings(version: str, value: bytes) -> None:
    """Take no transfer coding but chunked, by itself (sections 6.1 and 6.3)."""
    codings = [coding.strip(b" \t") for coding in value.lower().split(b",")]
    if version == "1.0" or b"chunked" in codings[:-1]:
        raise Refused(Refusal(400, "The length of the request's body cannot be told"))
    if codings != [b"chunked"]:
        raise Refused(Refusal(501, "The only Transfer-Encoding that is understood is chunked"))


def _check_length(value: bytes, limits: Limits) -> None:
    """Refuse a body that is too large before any of it is sent."""
    # What is no number, or two of them, the parser refuses.
    if value.isdigit() and int(value) > limits.max_body_bytes:
        description = f"A request may have {limits.max_body_bytes} bytes at most"
        raise Refused(Refusal(413, description, "Body too large"))


def too_long(status: int, what: str, limits: Limits) -> Refusal:
    """Return the refusal of something in a head that is too long."""
    return Refusal(status, f"{what} may have {limits.max_header_bytes} bytes at most")
