"""Take a callback's URI apart, so strictly that no two programs can read it differently."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import SplitResult, quote, urlsplit

IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address

MAX_URI_CHARACTERS = 2048

_UNPRINTABLE = re.compile(r"[\x00-\x20\x7f-\xa0\u2028\u2029\\]")
_AUTHORITY = re.compile(r"(\[[^\[\]]*\]|[^\[\]:%]+)(?::([0-9]{0,5}))?")
_LABEL = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?")
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")
_KEPT_IN_PATHS = "/%:@!$&'()*+,;=~-._?"


class ForbiddenDestination(ValueError):
    """A callback may not go there, or its URI is malformed; the message says why."""


@dataclass(frozen=True, slots=True)
class Target:
    """A URI taken apart once, so that what is checked is what is connected to."""

    scheme: str
    host: str
    port: int
    path: str
    """Path and query, percent-encoded."""
    address: IPAddress | None = None
    """The address, when the URI names one instead of a host."""

    @property
    def authority(self) -> str:
        """What the Host header says."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        default = {"http": 80, "https": 443}[self.scheme]
        return host if self.port == default else f"{host}:{self.port}"


def parse_uri(uri: object) -> Target:
    """Take a callback's URI apart; raises ForbiddenDestination when it is malformed."""
    if not isinstance(uri, str):
        raise ForbiddenDestination("the URI must be a string, an http:// or https:// URI")
    if len(uri) > MAX_URI_CHARACTERS:
        raise ForbiddenDestination(
            f"the URI may have {MAX_URI_CHARACTERS} characters at most, not {len(uri)}"
        )
    return _parse_text(uri)


@lru_cache(maxsize=256)  # the same few receivers are named again and again
def _parse_text(uri: str) -> Target:
    if _UNPRINTABLE.search(uri):
        raise ForbiddenDestination("the URI may hold no spaces, control characters or backslashes")
    try:
        parts = urlsplit(uri)
        path = quote(parts.path or "/", safe=_KEPT_IN_PATHS)
        query = quote(parts.query, safe=_KEPT_IN_PATHS)
    except ValueError as error:  # also a lone surrogate, which UTF-8 cannot hold
        raise ForbiddenDestination(f"the URI is malformed: {error}") from error
    if parts.scheme not in ("http", "https"):
        raise ForbiddenDestination("the URI must be an http:// or https:// URI")
    host, port = _split_authority(parts)
    address = ipaddress.ip_address(host) if is_address(host) else None
    return Target(parts.scheme, host, port, path + ("?" + query if query else ""), address)


def _split_authority(parts: SplitResult) -> tuple[str, int]:
    if "@" in parts.netloc:
        raise ForbiddenDestination("the URI may hold no user name or password")
    match = _AUTHORITY.fullmatch(parts.netloc)
    if match is None:
        raise ForbiddenDestination("the URI must name a host, and a port from 1 to 65535")
    text = match[2] or {"http": "80", "https": "443"}[parts.scheme]
    if not 1 <= int(text) <= 65535:
        raise ForbiddenDestination(f"the URI's port must be from 1 to 65535, not {text}")
    return normalize_host(match[1]), int(text)


def normalize_host(text: str) -> str:
    """Return a host as one spelling: an address, or a lower-case ASCII name without last dot.

    Raises ForbiddenDestination for anything else, an IPv4 address in any notation but the usual
    one included (``127.1``, ``0177.0.0.1``, ``2130706433``): programs disagree on what it means.
    """
    if text.startswith("["):
        literal = text[1:-1]
        if not is_address(literal) or ":" not in literal or "%" in literal:
            raise ForbiddenDestination(f"{text} is no IPv6 address")
        return str(ipaddress.IPv6Address(literal))
    name = _ascii_name(text).lower().removesuffix(".")
    labels = name.split(".")
    if _NUMBER.fullmatch(labels[-1]):
        if is_address(name):
            return name
        raise ForbiddenDestination(
            f"{text} is no IPv4 address; write it as four decimal numbers, like 192.168.1.5"
        )
    if len(name) > 253 or not all(map(_LABEL.fullmatch, labels)):
        raise ForbiddenDestination(f"{text} is no host name")
    return name


def _ascii_name(text: str) -> str:
    if text.isascii():
        return text
    import idna  # its tables take megabytes, and few names need them

    try:
        return idna.encode(text, uts46=True).decode("ascii")
    except UnicodeError as error:
        raise ForbiddenDestination(f"{text} is no host name: {error}") from error


def is_address(text: str) -> bool:
    """Tell whether the text is an IPv4 or IPv6 address in its usual notation."""
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
