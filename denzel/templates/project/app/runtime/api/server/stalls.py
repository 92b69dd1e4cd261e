"""Close the connections of clients that are too slow.

A client may be slow in three ways: with its request's head, with its body, and with taking the
answer.  Each ties up a connection and what is buffered for it, so a connection that moves less
than a trickle for CLIENT_TIMEOUT seconds is closed.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from typing import Protocol

TRICKLE = 4096
"""Bytes a second that a client must take or send in the long run."""
TCP_INFO_BYTES = 128
BYTES_ACKED_AT = 120
LOOKS = 10
"""How often a connection is looked at within the time it may stall."""


class Progress:
    """How a connection moves: time uses up credit, bytes restore it, up to the time allowed."""

    def __init__(self) -> None:
        self._received = 0
        self._taken = 0
        self._credit: float | None = None
        self._request: object = None

    def rest(self) -> None:
        """Forget what was: the client waits for us."""
        self._credit = None

    def has_stalled(
        self, request: object, received: int, taken: int, elapsed: float, timeout: float
    ) -> bool:
        """Take note of how far the connection is; tell whether its credit is used up.

        ``received`` counts the bytes of bodies that came while they were read, ``taken`` those
        of answers that the client has taken, ``elapsed`` the seconds since the last call.  A new
        ``request`` has full credit.
        """
        moved = max(0, received - self._received) + max(0, taken - self._taken)
        self._received, self._taken = received, taken
        if self._credit is None or request is not self._request:
            self._request, self._credit = request, timeout
            return False
        self._credit = min(timeout, self._credit - elapsed + moved / TRICKLE)
        return self._credit <= 0


def bytes_taken(transport: asyncio.Transport) -> int:
    """Return how many bytes the client's system has confirmed, counted from some point.

    The kernel holds megabytes for a client, and asks for more when a third of that has been taken:
    a minute in which the server's own buffer says nothing of one that reads 20 KB/s.  Linux tells
    (``tcpi_bytes_acked`` of ``struct tcp_info``, linux/tcp.h); elsewhere that buffer has to do.
    """
    try:
        info = transport.get_extra_info("socket").getsockopt(
            socket.IPPROTO_TCP, socket.TCP_INFO, TCP_INFO_BYTES
        )
        return int(struct.unpack_from("Q", info, BYTES_ACKED_AT)[0])
    except (AttributeError, OSError, struct.error):
        return -transport.get_write_buffer_size()


class Client(Protocol):
    """A connection that can be looked at."""

    def look(self, elapsed: float) -> None:
        """Close the connection if it has stalled; ``elapsed`` seconds since the last look."""


async def watch(clients: set[Client], timeout: float) -> None:
    """Look at all connections, for as long as the process lives."""
    interval = timeout / LOOKS
    while True:
        await asyncio.sleep(interval)
        for client in list(clients):
            client.look(interval)
