"""Wait for the end of requests that any process may have accepted.

Whoever waits writes its name beside the request; the script that ends the request tells those
it finds there (``ledger.py``).  A word that gets lost, and a synchronous request, which no
script ends, are found by reading the records of all that is waited for once a second, together.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from typing import Any
from uuid import uuid4

import redis.asyncio
from redis.exceptions import RedisError

from app.runtime.api.errors import NOT_READ, QueueUnavailable
from app.runtime.contract import FINAL_STATES, Outcome
from app.runtime.store.codecs import find_outcome
from app.runtime.store.keys import ended_channel, frame_key, task_key, watchers_key
from app.runtime.store.subscriber import Channel

LOOK_AGAIN_SECONDS = 1.0
MARGIN_SECONDS = 10

log = logging.getLogger("denzel.watch")


class Watch:
    """What one API process waits for."""

    def __init__(self, client: redis.asyncio.Redis, redis_url: str) -> None:
        self.name = uuid4().hex
        # Any: redis-py types its answers bytes | str; without decode_responses they are bytes.
        self._redis: Any = client
        self._futures: dict[str, set[asyncio.Future[Outcome]]] = {}
        self._channel = Channel(redis_url, (ended_channel(self.name),), self._look, self._hear)
        self._looking: asyncio.Task[None] | None = None
        self._reading: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Begin to listen; Redis need not be there yet."""
        await self._channel.start()
        self._looking = asyncio.create_task(self._look_again())

    async def stop(self) -> None:
        """Stop listening."""
        if self._looking is not None:
            self._looking.cancel()
        await self._channel.stop()

    async def wait(self, task_id: str, seconds: float) -> Outcome | None:
        """Return a request's outcome as soon as it has one, None if it has none in time.

        Raises QueueUnavailable when Redis cannot be asked.
        """
        if not self._channel.is_open:
            raise QueueUnavailable(NOT_READ)
        future: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self._futures.setdefault(task_id, set()).add(future)
        try:
            async with asyncio.timeout(seconds):
                await self._announce(task_id, seconds)
                return await future
        except TimeoutError:
            return None
        except (RedisError, OSError) as error:
            raise QueueUnavailable(NOT_READ) from error
        finally:
            self._forget(task_id, future)

    async def _announce(self, task_id: str, seconds: float) -> None:
        """Say who waits, then look: whoever ends the request later finds the name."""
        key = watchers_key(task_id)
        pipe = self._redis.pipeline(transaction=False)
        pipe.sadd(key, self.name)
        pipe.expire(key, int(seconds) + MARGIN_SECONDS)
        await pipe.execute()
        await self._read([task_id])

    def _forget(self, task_id: str, future: asyncio.Future[Outcome]) -> None:
        futures = self._futures[task_id]
        futures.discard(future)
        if not futures:
            del self._futures[task_id]

    def _hear(self, channel: bytes, data: bytes) -> None:
        reading = asyncio.create_task(self._read_heard(data.decode()))
        self._reading.add(reading)
        reading.add_done_callback(self._reading.discard)

    async def _read_heard(self, task_id: str) -> None:
        with suppress(RedisError, OSError):  # it is looked at again within a second
            await self._read([task_id])

    async def _look(self) -> None:
        await self._read(list(self._futures))

    async def _look_again(self) -> None:
        while True:
            await asyncio.sleep(LOOK_AGAIN_SECONDS)
            if self._channel.is_open:
                with suppress(RedisError, OSError):
                    await self._look()

    async def _read(self, task_ids: list[str]) -> None:
        if not task_ids:
            return
        keys = [key for each in task_ids for key in (task_key(each), frame_key(each))]
        found = await self._redis.mget(keys)
        for task_id, record, frame in zip(task_ids, found[::2], found[1::2], strict=True):
            outcome = find_outcome(task_id, record, frame)
            if outcome is None or outcome.state not in FINAL_STATES:
                continue
            for future in self._futures.get(task_id, ()):
                if not future.done():
                    future.set_result(outcome)
