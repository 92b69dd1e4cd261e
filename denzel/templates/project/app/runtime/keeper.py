"""Have the outcomes of synchronous requests written to disk, all of a second together.

They are stored without that (``synchronous.py``), so that no client waits for a disk.  But each
can be asked for at ``/status/{task_id}``, also after a restart.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

import redis.asyncio
from redis.exceptions import RedisError

from app.runtime import synchronous

KEEP_SECONDS = 1.0
KEEP_LIMIT = 20
"""Groups whose outcomes one command writes: Redis does nothing else meanwhile."""


class Keeper:
    """What one API process has yet to have written."""

    def __init__(self, client: redis.asyncio.Redis) -> None:
        self._redis: Any = client
        self._keys: list[str] = []
        self._keeping: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin; Redis need not be there yet."""
        self._keeping = asyncio.create_task(self._keep_on())

    async def stop(self) -> None:
        """Have the last of them written, and end."""
        if self._keeping is not None:
            self._keeping.cancel()
        await self._keep()

    def note(self, key: str) -> None:
        """Take in that outcomes stand at ``key``."""
        self._keys.append(key)

    async def _keep_on(self) -> None:
        while True:
            await asyncio.sleep(KEEP_SECONDS)
            await self._keep()

    async def _keep(self) -> None:
        with suppress(RedisError, OSError):  # tried again in a second
            while self._keys:
                await self._redis.execute_command(*synchronous.keep(self._keys[:KEEP_LIMIT]))
                del self._keys[:KEEP_LIMIT]
