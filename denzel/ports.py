"""Whether a port can be had on this machine, told by binding it."""

from __future__ import annotations

import errno
import itertools
import socket
from collections.abc import Iterable, Mapping

from denzel.errors import PortTaken, UsageError

ADDRESSES = (
    (socket.AF_INET, "0.0.0.0"),
    (socket.AF_INET, "127.0.0.1"),
    (socket.AF_INET6, "::"),
    (socket.AF_INET6, "::1"),
)
NO_SUCH_FAMILY = {errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL, errno.EPROTONOSUPPORT}
FOR_ROOT = "may only be bound by root"
FIRST_UNPRIVILEGED = 1024
LAST_PORT = 65535


def check_ports(wanted: Mapping[str, int], *, remedy: str = "Choose another one") -> None:
    """Raise unless every port can be bound; ``wanted`` maps the option to pass to its port.

    ``remedy`` is what the message says before the option to pass.
    Raises UsageError for a port out of range or asked for twice, PortTaken for one in use.
    """
    seen: dict[int, str] = {}
    for option, port in wanted.items():
        if not 1 <= port <= LAST_PORT:
            raise UsageError(f"{option} {port} is not a port: it must be 1 to {LAST_PORT}")
        if port in seen:
            raise UsageError(
                f"{seen[port]} and {option} are both {port}; each service needs a port of its own"
            )
        seen[port] = option
    for port, option in seen.items():
        reason = why_unavailable(port)
        if reason:
            raise PortTaken(
                f"Port {port} {reason}. {remedy} with `{option} {free_port(port + 1, avoid=seen)}`"
            )


def check_https_ports(wanted: Mapping[str, int], *, as_root: bool = False) -> None:
    """Raise PortTaken unless Caddy can have its ports; ``wanted`` maps each setting to its port.

    ``as_root``: it is root who will bind them, whoever asks here.
    """
    for setting, port in wanted.items():
        reason = why_unavailable(port)
        if reason == FOR_ROOT and not as_root:
            raise PortTaken(
                f"Port {port} {reason}, and HTTPS_DOMAIN needs it; let everybody bind it (`sudo "
                f"sysctl net.ipv4.ip_unprivileged_port_start={port}`), set another {setting} in "
                ".env, or launch with --docker"
            )
        if reason and reason != FOR_ROOT:
            raise PortTaken(
                f"Port {port} {reason}, and HTTPS_DOMAIN needs it; free it, or set another "
                f"{setting} in .env"
            )


def why_unavailable(port: int) -> str | None:
    """Return why ``port`` cannot be bound, on IPv4 or IPv6; None when it can."""
    for family, address in ADDRESSES:
        try:
            with socket.socket(family, socket.SOCK_STREAM) as probe:
                # Else connections that closed a moment ago (TIME_WAIT) would look like a taken
                # port; a listening socket refuses the bind all the same.
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                if family == socket.AF_INET6:
                    probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                probe.bind((address, port))
                probe.listen(1)
        except PermissionError:
            return FOR_ROOT
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                return f"is taken (on {address})"
            if error.errno not in NO_SUCH_FAMILY:
                return f"cannot be bound ({error.strerror})"
    return None


def free_port(start: int, *, avoid: Iterable[int] = ()) -> int:
    """Return the first port from ``start`` on that can be bound and is not in ``avoid``."""
    avoided = set(avoid)
    for port in itertools.chain(range(start, LAST_PORT + 1), range(FIRST_UNPRIVILEGED, start)):
        if port not in avoided and why_unavailable(port) is None:
            return port
    raise PortTaken("No port of this machine is free")
