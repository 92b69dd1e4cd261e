"""Whom a service that only this machine reaches answers: requests of this machine's programs.

A browser is such a program, and runs pages of strangers.  A page that was loaded from a stranger's
name can have that name lead to 127.0.0.1 afterwards (DNS rebinding), and then read what answers
there; only the Host header tells.  A page can also send requests to other sites without reading
the answers; of those the Origin header tells.
"""

from __future__ import annotations

from functools import lru_cache
from ipaddress import ip_address
from urllib.parse import urlsplit

LOOPBACK_NAME = "localhost"
DEFAULT_PORTS = {"http": 80, "https": 443}


def is_loopback(host: str) -> bool:
    """Tell whether an address or name is one of this machine alone."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == LOOPBACK_NAME or host.endswith(f".{LOOPBACK_NAME}")


def authority(host: str, port: int) -> str:
    """Return host and port as a URL or a Host header has them: an IPv6 address in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


@lru_cache(maxsize=256)  # it takes 10 µs, and most requests bring the same
def is_known_host(header: str, allowed: tuple[str, ...]) -> bool:
    """Tell whether a Host header cannot name a stranger's site; ``allowed`` are further names.

    Names without a dot are not in the public DNS: they are this machine's, a container's, or a
    proxy's, as its administrator calls it.
    """
    name = host_name(header)
    if name is None:
        return False
    return is_loopback(name) or not ("." in name or ":" in name) or name in allowed


def host_name(header: str) -> str | None:
    """Return the name or address in a Host header, in lower case; None for what is none."""
    try:
        parts = urlsplit(f"//{header}")
        _ = parts.port  # raises for what is no port
    except ValueError:
        return None
    if parts.username is not None or parts.path or parts.query or parts.fragment:
        return None
    return (parts.hostname or "").rstrip(".")


def without_prefix(path: str, prefix: str) -> str:
    """Return a request's path without the prefix that a proxy may have passed on."""
    if path == prefix or path.startswith(f"{prefix}/"):
        return path[len(prefix) :] or "/"
    return path


def is_same_origin(origin: str, host: str) -> bool:
    """Tell whether an Origin is the one a request was sent to; a proxy may speak HTTPS for us."""
    try:
        sender = urlsplit(origin)
        default = DEFAULT_PORTS.get(sender.scheme)
        receiver = urlsplit(f"{sender.scheme}://{host}")
        return (
            sender.hostname is not None
            and sender.hostname == receiver.hostname
            and (sender.port or default) == (receiver.port or default)
        )
    except ValueError:
        return False
