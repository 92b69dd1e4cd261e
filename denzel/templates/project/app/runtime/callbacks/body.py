"""What is sent of a prediction: bytes in memory, or a large one that is read in pieces."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

from app.runtime.contract import JSON


@dataclass(frozen=True)
class Body:
    """A callback's body: ``size`` bytes, which ``read`` yields anew each time it is called.

    ``content_type`` says what they are.

    Hundreds of callbacks may be under way to receivers that do not read, so a large body is never
    held whole, but for the moment in which it is signed; ``lock`` is held then, so that there is
    one at a time.
    """

    size: int
    read: Callable[[], AsyncIterator[bytes]]
    lock: asyncio.Lock | None = None
    content_type: str = JSON

    @classmethod
    def from_bytes(cls, content: bytes, content_type: str = JSON) -> Body:
        """Return a body that is in memory."""

        async def read() -> AsyncIterator[bytes]:
            yield content

        return cls(len(content), read, content_type=content_type)

    @contextlib.asynccontextmanager
    async def whole(self) -> AsyncIterator[bytes]:
        """Hold all of it in memory, for the duration of the context."""
        async with self.lock or contextlib.nullcontext():
            yield b"".join([chunk async for chunk in self.read()])
