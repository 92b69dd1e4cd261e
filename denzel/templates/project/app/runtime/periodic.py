"""What an event loop does every few seconds, beside all else."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from contextlib import suppress


class Periodic(ABC):
    """Calls its own ``look`` now and every ``interval`` seconds, from ``start`` to ``stop``."""

    interval: float
    _looking: asyncio.Task[None] | None = None

    @abstractmethod
    async def look(self) -> None:
        """Do it once."""

    async def start(self) -> None:
        """Begin; what is asked, such as Redis, need not be there yet."""
        self._looking = asyncio.create_task(self._look_again())

    async def stop(self) -> None:
        """Look no further."""
        if self._looking is not None:
            self._looking.cancel()
            with suppress(asyncio.CancelledError):
                await self._looking

    async def _look_again(self) -> None:
        while True:
            await self.look()
            await asyncio.sleep(self.interval)
