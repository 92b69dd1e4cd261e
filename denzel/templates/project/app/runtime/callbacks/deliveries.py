"""The service's side of the callbacks in Redis: what is due, and what each attempt came to.

A callback is due at a time (``denzel:callbacks:due``).  Whoever takes it claims it by moving that
time ahead, again and again while it is under way, so it comes back by itself if its deliverer
dies.  One whose receiver is crowded is parked: its time becomes infinite, and it waits in the list
``denzel:callbacks:waiting:RECEIVER``, which costs nothing until that receiver has room again.  A
callback leaves the set when it was delivered, or given up: then it stands in
``denzel:callbacks:failed`` until it expires, is sent again, or is dropped (``undelivered.py``).

Every time is Redis's (``store/lua/clock.lua``), so that no process's clock can move one.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

import redis.asyncio as redis

from app.runtime.batcher import Batcher
from app.runtime.callbacks.body import Body
from app.runtime.callbacks.schedule import Answer
from app.runtime.contract import SUCCESS, split_body
from app.runtime.settings import Settings
from app.runtime.store.client import connect_async, database_of
from app.runtime.store.codecs import decode_record
from app.runtime.store.keys import (
    CALLBACKS_CROWDED_KEY,
    CALLBACKS_DUE_KEY,
    callback_key,
    task_key,
    wake_channel,
)
from app.runtime.store.lua_scripts import load_script

DELIVERED = "DELIVERED"
FAILED = "FAILED"
PENDING = "PENDING"

CONNECTIONS = 16
LOADED_AT_ONCE = 64
RECORDED_AT_ONCE = 256
CHUNK_BYTES = 64 * 1024
"""A larger prediction is not held in memory while it is sent, but read in pieces of this size."""


@dataclass(frozen=True)
class Callback:
    """One callback to deliver: where, and how often it was tried.

    ``age`` is how many seconds ago its prediction was made, as of ``taken`` on the monotonic clock.
    """

    task_id: str
    uri: str
    attempts: int
    age: float
    taken: float = field(default_factory=time.monotonic)

    def current_age(self) -> float:
        """Return how many seconds ago the prediction was made, as of now."""
        return self.age + time.monotonic() - self.taken


@dataclass(frozen=True)
class Retention:
    """How long what is delivered or given up is kept in Redis; times are in seconds."""

    result_ttl: int
    failed_ttl: int
    failed_max: int

    @classmethod
    def from_settings(cls, settings: Settings) -> Retention:
        """Return what the settings ask for."""
        return cls(settings.result_ttl, settings.callback_failed_ttl, settings.callback_failed_max)


class Deliveries:
    """The callbacks of this deployment, for those who deliver them."""

    def __init__(self, client: redis.Redis, *, claim_seconds: float, retention: Retention) -> None:
        # Any: redis-py types its answers bytes | str; without decode_responses they are bytes.
        self._redis: Any = client
        self.claim_seconds = claim_seconds
        self._retention = (retention.failed_ttl, retention.failed_max, retention.result_ttl)
        self._take = self._script("take_callbacks")
        self._park = self._script("park_callbacks")
        self._loads = Batcher(self._load_all, LOADED_AT_ONCE)
        self._records = Batcher(self._record_all, RECORDED_AT_ONCE)
        self._unpark = self._script("unpark_callbacks")
        self._move_claims = self._script("move_callback_claims")
        self._record = self._script("record_callbacks")
        self._trim = self._script("trim_failed_callbacks")
        self._reading_large = asyncio.Lock()

    def _script(self, name: str) -> Any:
        return self._redis.register_script(load_script(name))

    @property
    def client(self) -> Any:
        """The connections to Redis."""
        return self._redis

    async def close(self) -> None:
        """Close all connections to Redis."""
        await self._redis.aclose()

    async def listen(self) -> AsyncIterator[None]:
        """Yield whenever a callback was queued; ends with the connection to Redis."""
        async with self._redis.pubsub(ignore_subscribe_messages=True) as subscription:
            await subscription.subscribe(wake_channel(database_of(self._redis)))
            async for _ in subscription.listen():
                yield

    async def take(self, count: int) -> list[Callback]:
        """Claim up to ``count`` callbacks that are due."""
        return _parse_claimed(await self._take(args=[self.claim_seconds, count]))

    async def park(self, receivers: Mapping[str, str]) -> None:
        """Let claimed callbacks wait until there is room for more under way to their receivers.

        ``receivers`` are keyed by the callbacks' tasks.
        """
        if receivers:
            await self._park(args=list(chain.from_iterable(receivers.items())))

    async def unpark(self, receiver: str, count: int) -> tuple[list[Callback], bool]:
        """Claim the next callbacks that wait for a receiver; also tell whether more wait."""
        more, *claimed = await self._unpark(args=[receiver, self.claim_seconds, count])
        return _parse_claimed(claimed), bool(more)

    async def crowded_receivers(self, count: int) -> list[str]:
        """Return some receivers that callbacks wait for, chosen at random."""
        found = await self._redis.srandmember(CALLBACKS_CROWDED_KEY, count)
        return [receiver.decode() for receiver in found]

    async def renew(self, task_ids: Iterable[str]) -> None:
        """Keep the claims on these callbacks, as far as they are still to be delivered."""
        await self._claim_for(self.claim_seconds, task_ids)

    async def give_back(self, task_ids: Iterable[str], delay: float = 0) -> None:
        """Give up the claims on these callbacks: they are due in ``delay`` seconds."""
        await self._claim_for(delay, task_ids)

    async def _claim_for(self, seconds: float, task_ids: Iterable[str]) -> None:
        if task_ids := list(task_ids):
            await self._move_claims(args=[seconds, *task_ids])

    async def load(self, callback: Callback) -> tuple[str, Body] | None:
        """Return the prediction's state and what is sent of it; None if there is nothing to send.

        A large body is read once here, so that it can be signed, and again while it is sent.
        """
        length, head = await self._loads.do(callback.task_id)
        if not length:
            await self._forget(callback.task_id)
            return None
        state, body, _ = decode_record(head)
        before, after = _envelope(state)
        content_type, skipped = split_body(body)
        body = body[skipped:]
        if length <= CHUNK_BYTES:
            return state, Body.from_bytes(before + body + after, content_type)
        start = len(head) - len(body)
        return state, Body(
            size=len(before) + length - start + len(after),
            read=lambda: self._read(callback.task_id, start, length, before, after),
            lock=self._reading_large,
            content_type=content_type,
        )

    async def _load_all(self, task_ids: Sequence[str]) -> Sequence[tuple[int, bytes]]:
        """Return the length of each record, and its beginning."""
        pipe = self._redis.pipeline(transaction=False)
        for task_id in task_ids:
            pipe.strlen(task_key(task_id))
            pipe.getrange(task_key(task_id), 0, CHUNK_BYTES - 1)
        found = await pipe.execute()
        return list(zip(found[::2], found[1::2], strict=True))

    async def _read(
        self, task_id: str, start: int, end: int, before: bytes, after: bytes
    ) -> AsyncIterator[bytes]:
        if before:
            yield before
        for position in range(start, end, CHUNK_BYTES):
            last = min(position + CHUNK_BYTES, end) - 1
            yield await self._redis.getrange(task_key(task_id), position, last)
        if after:
            yield after

    async def _forget(self, task_id: str) -> None:
        pipe = self._redis.pipeline()
        pipe.zrem(CALLBACKS_DUE_KEY, task_id)
        pipe.unlink(callback_key(task_id))
        await pipe.execute()

    async def record(self, callback: Callback, answer: Answer, delay: float | None) -> None:
        """Record what came of an attempt; the next is due in ``delay`` seconds, None for none.

        A callback that was given up is kept for ``denzel callbacks --retry``.
        """
        state = DELIVERED if answer.is_delivered else FAILED if delay is None else PENDING
        attempts, status = callback.attempts + 1, answer.status or ""
        await self._records.do(
            (callback.task_id, state, delay or 0, attempts, status, answer.error)
        )

    async def _record_all(self, outcomes: Sequence[tuple[object, ...]]) -> Sequence[None]:
        await self._record(args=[*self._retention, *chain.from_iterable(outcomes)])
        return [None] * len(outcomes)

    async def trim(self) -> None:
        """Forget callbacks that were given up too long ago, or are too many."""
        await self._trim(args=self._retention)


def _envelope(state: str) -> tuple[bytes, bytes]:
    """Return what is put before and after a result: nothing, unless the prediction failed."""
    if state == SUCCESS:
        return b"", b""
    return b'{"status":"%b","result":' % state.encode(), b"}"


def _parse_claimed(answer: Sequence[bytes]) -> list[Callback]:
    """Return what ``claim_callbacks`` in Lua returned, after Redis's time."""
    now, *claimed = answer
    return [
        Callback(task_id.decode(), uri.decode(), int(attempts), float(now) - float(since))
        for task_id, uri, attempts, since in zip(
            claimed[::4], claimed[1::4], claimed[2::4], claimed[3::4], strict=True
        )
    ]


def connect_deliveries(settings: Settings, claim_seconds: float) -> Deliveries:
    """Return this deployment's callbacks; no connection is opened yet."""
    client = connect_async(settings.redis, answer_seconds=10, most=CONNECTIONS)
    return Deliveries(
        client, claim_seconds=claim_seconds, retention=Retention.from_settings(settings)
    )
