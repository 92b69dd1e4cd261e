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

import redis.asyncio
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

RECONNECT_SECONDS = 0.5
QUIET_SECONDS = 10.0
PONG_SECONDS = 5.0
FIRST_TRY_SECONDS = 3.0

log = logging.getLogger("denzel.channel")


class Channel:
    """Listens on Redis channels for as long as the process lives.

    ``heard(channel, data)`` is called for each message, ``opened()`` each time the connection
    stands and before the first message is heard.
    """

    def __init__(
        self,
        redis_url: str,
        names: tuple[str, ...],
        opened: Callable[[], Awaitable[None]],
        heard: Callable[[str, bytes], Awaitable[None]],
    ) -> None:
        # Reconnecting is done here: redis-py would do it silently and lose messages.
        self._redis = redis.asyncio.Redis.from_url(
            redis_url, socket_connect_timeout=2, retry=Retry(NoBackoff(), 0)
        )
        self._names = names
        self._opened = opened
        self._heard = heard
        self._task: asyncio.Task[None] | None = None
        self._tried = asyncio.Event()
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
        await self._redis.aclose()

    async def _listen(self) -> None:
        while True:
            try:
                await self._listen_once()
            except (RedisError, OSError) as error:
                if self.is_open:
                    log.warning("Lost Redis: %s", error)
            except Exception:  # whatever it was, an API process that hears nothing is no use
                log.exception("The channel failed; it is opened again")
            self.is_open = False
            self._tried.set()
            await asyncio.sleep(RECONNECT_SECONDS)

    async def _listen_once(self) -> None:
        async with self._redis.pubsub() as subscription:
            await subscription.subscribe(*self._names)
            for _ in self._names:  # once Redis confirms, nothing that is said is missed
                await _next_message(subscription)
            await self._opened()
            self.is_open = True
            self._tried.set()
            log.info("Connected to Redis")
            while True:
                message = await _next_message(subscription)
                if message["type"] == "message":
                    await self._heard(message["channel"].decode(), message["data"])


async def _next_message(subscription: redis.asyncio.client.PubSub) -> dict[str, Any]:
    """Return what comes next; raises ConnectionError when Redis does not even answer a ping.

    A connection may end without a word to this side: a machine that fails, a network that is cut.
    """
    message = await subscription.get_message(timeout=QUIET_SECONDS)
    if message is None:
        await subscription.ping()
        message = await subscription.get_message(timeout=PONG_SECONDS)
    if message is None:
        raise ConnectionError(f"Redis has not answered for {PONG_SECONDS:g} s")
    return message
