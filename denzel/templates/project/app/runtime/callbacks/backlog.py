"""Callbacks whose receiver is crowded: they wait in Redis until it has room for more under way."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence

import redis

from app.runtime.callbacks.deliveries import Callback, Deliveries
from app.runtime.callbacks.slots import Slots

FIND_COUNT = 64

log = logging.getLogger("denzel.callbacks")


class Backlog:
    """Parks callbacks, and begins the next ones when something under way to their receiver ends.

    ``slots_of`` returns the slots that a key belongs to; ``begin`` begins to deliver callbacks and
    returns when each of them has a slot, was parked again, or has ended.  In memory are keys alone,
    and only those that something is under way for: everything else waits in Redis.
    """

    def __init__(
        self,
        deliveries: Deliveries,
        slots_of: Callable[[str], Slots],
        begin: Callable[[Sequence[Callback]], Awaitable[None]],
    ) -> None:
        self._deliveries = deliveries
        self._slots_of = slots_of
        self._begin = begin
        self._parked: dict[str, str] = {}
        self._crowded: set[str] = set()
        self._is_stopped = False
        self._refills: dict[str, asyncio.Task[None]] = {}

    def add(self, key: str, task_id: str) -> None:
        """Note that a callback has to wait for a key; the next ``park`` makes it so."""
        self._parked[task_id] = key

    async def park(self) -> None:
        """Let all that was added wait in Redis."""
        parked, self._parked = self._parked, {}
        await self._deliveries.park(parked)
        for key in set(parked.values()):
            if self._slots_of(key).held(key):
                self._crowded.add(key)
            if self._slots_of(key).room(key):  # what was under way has ended meanwhile
                self._refill(key)

    def released(self, key: str) -> None:
        """Begin the next callbacks that wait for a key, if any do."""
        if key in self._crowded:
            self._refill(key)

    async def find(self) -> None:
        """Begin callbacks that wait for what nothing is under way for.

        A service that died has left them, or there was no room at all when they were parked.
        """
        for key in await self._deliveries.crowded_receivers(FIND_COUNT):
            if self._slots_of(key).room(key):
                self._refill(key)

    async def stop(self) -> None:
        """Begin nothing more, and let all that was added wait in Redis."""
        self._is_stopped = True
        refills = list(self._refills.values())
        for refill in refills:
            refill.cancel()
        await asyncio.gather(*refills, return_exceptions=True)
        await self.park()

    def _refill(self, key: str) -> None:
        if key not in self._refills and not self._is_stopped:
            self._refills[key] = asyncio.create_task(self._unpark(key))

    async def _unpark(self, key: str) -> None:
        slots = self._slots_of(key)
        more = True
        try:
            while more and (room := slots.room(key)):
                callbacks, more = await self._deliveries.unpark(key, room)
                await self._begin(callbacks)
        except (redis.RedisError, OSError) as error:
            log.warning("Redis: %s", error)
        finally:
            del self._refills[key]
            if more and slots.held(key):
                self._crowded.add(key)
            else:
                self._crowded.discard(key)
