"""What an API process hears from Redis: outcomes for its requests, a new response mode.

A channel can lose a message while it reconnects; whoever relies on it is told each time it
opens (``opened``), and reads again what may have been said meanwhile.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

from redis.exceptions import ConnectionError, RedisError

from app.runtime.logs import Outage
from app.runtime.settings import RedisAddress
from app.runtime.store.connection import Connection
from app.runtime.store.lua_scripts import Argument

RECONNECT_SECONDS = 0.5
CONNECT_SECONDS = 2.0
FIRST_TRY_SECONDS = 3.0

log = logging.getLogger("denzel.redis")


def _ignore(_channel: bytes, _data: bytes) -> None:
    """Take no note of a message."""


def _unconnected() -> asyncio.Future[Any]:
    answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
    answer.set_exception(ConnectionError("There is no connection to Redis"))
    return answer


class Subscriber:
    """Listens on Redis channels for as long as the process lives.

    ``heard(channel, data)`` is called for each message, ``opened()`` each time the connection
    stands and before ``is_open`` says so; messages may be heard meanwhile.
    """

    def __init__(
        self,
        address: RedisAddress,
        names: tuple[str, ...] = (),
        opened: Callable[[], Awaitable[None]] | None = None,
        heard: Callable[[bytes, bytes], None] = _ignore,
    ) -> None:
        self._address = address
        self._names = names
        self._opened = opened
        self._heard = heard
        self._connection: Connection | None = None
        self._task: asyncio.Task[None] | None = None
        self._tried = asyncio.Event()
        self._outage = Outage(log, "Redis")
        self.is_open = False

    async def start(self) -> None:
        """Begin to listen; return after the first try, whether or not Redis is there yet."""
        self._task = asyncio.create_task(self._listen())
        with suppress(TimeoutError):
            await asyncio.wait_for(self._tried.wait(), FIRST_TRY_SECONDS)

    async def stop(self) -> None:
        """Stop listening and close the connection."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

    def run(self, name: str, *arguments: Argument) -> asyncio.Future[Any]:
        """Run the script ``lua/NAME.lua`` over the connection; the future is its answer.

        It raises RedisError.
        """
        return self._connection.run(name, *arguments) if self._connection else _unconnected()

    def send(self, *command: Argument) -> asyncio.Future[Any]:
        """Send a command over the connection; the future is its reply, as :meth:`run`'s is."""
        return self._connection.send(*command) if self._connection else _unconnected()

    async def _listen(self) -> None:
        while True:
            try:
                await self._listen_once()
            except (RedisError, OSError) as error:
                self._outage.failed(error)
            except Exception:  # whatever it was, an API process that hears nothing is no use
                log.exception("The channel failed; it is opened again")
            self.is_open = False
            self._tried.set()
            await asyncio.sleep(RECONNECT_SECONDS)

    async def _listen_once(self) -> None:
        async with asyncio.timeout(CONNECT_SECONDS):  # TimeoutError is an OSError
            connection = await Connection.connect(self._address, self._names, self._heard)
        try:
            self._connection = connection
            if self._opened is not None:
                await self._opened()
            self.is_open = True
            self._tried.set()
            if not self._outage.ended():
                log.info("Connected to Redis")
            await connection.watch()
        finally:
            self._connection = None
            connection.close()
