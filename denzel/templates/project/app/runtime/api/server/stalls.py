"""Close the connections of clients that are too slow.

A client may be slow in three ways: with its request's head, with its body, and with taking the
answer.  Each ties up a connection and what is buffered for it, so a connection that moves less
than a trickle for CLIENT_TIMEOUT seconds is closed.
"""

from __future__ import annotations

import asyncio
from typing import Protocol

TRICKLE = 4096
"""Bytes a second that a client must take or send in the long run."""
LOOKS = 10
"""How often a connection is looked at within the time it may stall."""


class Progress:
    """How a connection moves: time uses up credit, bytes restore it, up to the time allowed."""

    def __init__(self) -> None:
        self._received = 0
        self._unsent = 0
        self._credit: float | None = None
        self._request: object = None

    def rest(self) -> None:
        """Forget what was: the client waits for us."""
        self._credit = None

    def has_stalled(
        self, request: object, received: int, unsent: int, elapsed: float, timeout: float
    ) -> bool:
        """Take note of how far the connection is; tell whether its credit is used up.

        ``received`` counts the bytes of bodies that came while they were read, ``unsent`` those
        still to be sent, ``elapsed`` the seconds since the last call.  A new ``request`` has full
        credit.
        """
        moved = max(0, received - self._received) + max(0, self._unsent - unsent)
        self._received, self._unsent = received, unsent
        if self._credit is None or request is not self._request:
            self._request, self._credit = request, timeout
            return False
        self._credit = min(timeout, self._credit - elapsed + moved / TRICKLE)
        return self._credit <= 0


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
