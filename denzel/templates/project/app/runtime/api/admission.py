"""Whether an API process takes one more request: how many wait, how much memory Redis has left.

The rest of Redis's memory is kept for what is under way: a prediction that is made must find
room for its result.  How much is used is read once a second; what this process has sent since
is counted.
"""

from __future__ import annotations

from contextlib import suppress
from types import TracebackType

import redis.asyncio
from redis.exceptions import RedisError

from app.runtime.api.errors import TooManyWaiting
from app.runtime.periodic import Periodic
from app.runtime.requests.errors import MEMORY_FULL, QueueFull

LOOK_SECONDS = 1.0
FILLED = 0.9
"""The part of Redis's memory that requests may fill."""
REQUEST_BYTES = 1000
PAYLOAD_FACTOR = 1.25
"""What Redis needs for a request, at most: so much, and its payload's bytes times the factor.

Its allocator rounds sizes up, to the next of four steps between two powers of two."""


class Places:
    """Places for clients that wait; ``with places:`` takes one, or raises TooManyWaiting."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._taken = 0

    def __enter__(self) -> None:
        """Take a place."""
        if self._taken >= self._count:
            raise TooManyWaiting(f"{self._taken} clients wait for an answer already")
        self._taken += 1

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Give the place back."""
        self._taken -= 1


class Admission(Periodic):
    """One API process's view of Redis's memory, and its places for those who wait."""

    interval = LOOK_SECONDS

    def __init__(self, client: redis.asyncio.Redis, max_waiting: int, api_processes: int) -> None:
        self._redis = client
        self._api_processes = api_processes
        self.waiting = Places(max_waiting)
        self._bytes_left: float = float("inf")

    def admit(self, size: int) -> None:
        """Count a payload of ``size`` bytes; raises QueueFull when there is no room for it."""
        if self._bytes_left <= 0:
            raise QueueFull(MEMORY_FULL)
        self._bytes_left -= PAYLOAD_FACTOR * size + REQUEST_BYTES

    async def look(self) -> None:
        """Look at Redis's memory."""
        with suppress(RedisError, OSError):
            memory = await self._redis.info("memory")
            limit = memory["maxmemory"] or float("inf")
            self._bytes_left = (FILLED * limit - memory["used_memory"]) / self._api_processes
