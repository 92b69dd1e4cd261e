"""Ports for what tests start."""

from __future__ import annotations

import contextlib
import itertools
import os
import socket

PORT_COUNT = 100
_ports = itertools.cycle(range(PORT_COUNT))


def free_port() -> int:
    """Return a TCP port of 127.0.0.1 that nothing listens on.

    No process of tests started near this one is given it, nor is a connection by the system: those
    have ports from 32768 on.
    """
    first = 11000 + os.getpid() % 100 * PORT_COUNT
    for _ in range(PORT_COUNT):
        port = first + next(_ports)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise AssertionError(f"no port from {first} on is free")
