"""Have the outcomes of synchronous requests written to disk, all of a second together.

They are stored without that (``synchronous.py``), so that no client waits for a disk.  But each
can be asked for at ``/status/{task_id}``, also after a restart.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from itertools import accumulate, islice
from typing import Any

import redis.asyncio
from redis.exceptions import RedisError

from app.runtime.requests import synchronous

KEEP_SECONDS = 1.0
KEEP_LIMIT = 100
"""Groups whose outcomes one command writes at most."""
KEEP_BYTES = 256 * 1024
"""The size of what one command writes, unless a single outcome is larger.

Redis answers nobody while it writes, so that neither many commands nor long ones are good."""


class Keeper:
    """What one API process has yet to have written."""

    def __init__(self, client: redis.asyncio.Redis) -> None:
        self._redis: Any = client
        self._noted: dict[str, int] = {}
        self._keeping: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin; Redis need not be there yet."""
        self._keeping = asyncio.create_task(self._keep_on())

    async def stop(self) -> None:
        """Have the last of them written, and end."""
        if self._keeping is not None:
            self._keeping.cancel()
        await self._keep()

    def note(self, key: str, size: int) -> None:
        """Take in that outcomes of about ``size`` bytes stand at ``key``."""
        self._noted[key] = size

    async def _keep_on(self) -> None:
        while True:
            await asyncio.sleep(KEEP_SECONDS)
            await self._keep()

    async def _keep(self) -> None:
        with suppress(RedisError, OSError):  # tried again in a second
            while self._noted:
                keys = self._next_keys()
                await self._redis.execute_command(*synchronous.keep(keys))
                for key in keys:
                    self._noted.pop(key, None)

    def _next_keys(self) -> list[str]:
        """Return those that the next command may write."""
        keys = list(islice(self._noted, KEEP_LIMIT))
        sizes = accumulate(self._noted[key] for key in keys)
        return keys[: max(1, sum(size <= KEEP_BYTES for size in sizes))]
