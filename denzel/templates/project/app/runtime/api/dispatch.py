"""How requests travel from an API process to the workers, and outcomes back.

Each request is a Celery task of its own; what arrives in one turn of the event loop leaves in one
command.  Outcomes come back on a Redis channel of this process's own (``waiting.py``), so nothing
polls and no thread waits.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from contextlib import suppress
from functools import partial
from typing import Any
from uuid import uuid4

import orjson
from redis.exceptions import RedisError

from app.runtime.api.redis_answers import (
    ANSWER_SECONDS,
    asked,
    confirmed,
    ignore_error,
    unconfirmed,
)
from app.runtime.api.waiting import AnyWaiter, Waiter, WaitingRoom
from app.runtime.batcher import Batcher
from app.runtime.callbacks.undelivered import describe
from app.runtime.contract import Outcome, Request, ResponseMode, new_task_id
from app.runtime.requests.acceptance import Acceptance, Claim, Replicas, queue_full
from app.runtime.requests.cancellation import REASONS, Cancellation
from app.runtime.requests.errors import (
    LOST,
    NOT_CONFIRMED,
    NOT_REACHED,
    NOT_READ,
    NotCancelled,
    QueueFull,
    QueueUnavailable,
)
from app.runtime.requests.lookup import Lookup
from app.runtime.settings import Settings
from app.runtime.store.client import connect_async
from app.runtime.store.codecs import Record, decode_response_mode
from app.runtime.store.keys import (
    RESPONSE_KEY,
    callback_key,
    control_channel,
    lost_channel,
    reply_channel,
    task_key,
)
from app.runtime.store.subscriber import Subscriber
from app.runtime.tracing import Tracing

RECEIPT_SECONDS = 60
LEAVE_TOGETHER = 32
"""Requests that leave at the latest when so many have been read: a worker may begin with them."""
ACCEPT_TOGETHER = 1000
"""Most asynchronous requests that are stored by one command."""
ABANDONED_SECONDS = 600.0
"""How long a worker may take to its next piece, to be told that its client has gone."""
LAST_LOOK_SECONDS = 0.2
"""How long Redis may take to be told that a client's time is up."""
TRACE_SECONDS = 3600
"""How long after a request what is done for it still belongs to its trace."""


class Dispatcher:
    """One API process's way to the workers and back; made before its event loop runs.

    ``batch_size`` is how many requests the workers predict together.
    """

    def __init__(self, settings: Settings, batch_size: int, tracing: Tracing | None = None) -> None:
        self.name = uuid4().hex
        self._tracing = tracing
        self.response_mode = ResponseMode()
        self._max_queue = settings.max_queue
        self.client = connect_async(settings.redis, answer_seconds=ANSWER_SECONDS)
        # Any: redis-py types its answers bytes | str; without decode_responses they are bytes.
        self._redis: Any = self.client
        database = settings.redis.database
        self._control, self._lost = control_channel(database), lost_channel(database)
        channels = (reply_channel(self.name), self._control, self._lost)
        self._subscriber = Subscriber(settings.redis, channels, self._catch_up, self._hear)
        run = self._subscriber.run
        self._links, replicas = [self._subscriber], None
        if settings.redis_wait_replicas:
            link = Subscriber(settings.redis)
            self._links.append(link)
            replicas = Replicas(
                link.run, link.send, settings.redis_wait_replicas, settings.redis_wait_seconds
            )
        self._acceptance = Acceptance(run, self.name, settings.max_queue, batch_size, replicas)
        self._lookup = Lookup(run, self._redis, self.name)
        self._cancellation = Cancellation(
            run, settings.result_ttl, stop_running=settings.cancel_running
        )
        self._waiting = WaitingRoom(self._end_stream, lambda each: self._spawn(self._read(each)))
        self._loop: asyncio.AbstractEventLoop
        self._leaving: list[Waiter] = []
        self._redis_run = ""
        self._accepting = Batcher(self._accept, ACCEPT_TOGETHER)
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def is_open(self) -> bool:
        """Whether Redis can be reached."""
        return all(each.is_open for each in self._links)

    async def start(self) -> None:
        """Begin to listen for outcomes; Redis need not be there yet."""
        # Asked for it, asyncio also asks the system for the process's id each time.
        self._loop = asyncio.get_running_loop()
        for each in self._links:
            await each.start()

    async def stop(self) -> None:
        """Stop listening and close the connections."""
        for task in self._tasks:
            task.cancel()
        for each in self._links:
            await each.stop()
        await self._redis.aclose()

    # Asynchronous requests

    async def submit(self, request: Request, seconds: float = ANSWER_SECONDS) -> None:
        """Queue an asynchronous request; when this returns it is in Redis.

        Those that arrive while others are being stored are stored together next.  Raises QueueFull
        and QueueUnavailable, the latter also when Redis has not confirmed within ``seconds``.
        """
        self._require_redis()
        self._note_trace(request.id)
        await confirmed(self._accepting.do(request), seconds)

    async def submit_once(
        self, request: Request, key: str, body: bytes, seconds: float = ANSWER_SECONDS
    ) -> Claim:
        """Queue an asynchronous request unless its Idempotency-Key was used before.

        ``body`` is what the client sent.  Raises KeyReused, QueueFull and QueueUnavailable.
        """
        self._require_redis()
        self._note_trace(request.id)
        return await confirmed(self._acceptance.accept_once(request, key, body), seconds)

    async def _accept(self, requests: Sequence[Request]) -> Sequence[QueueFull | None]:
        """Store asynchronous requests; return what is wrong with each, None with most."""
        count = await self._acceptance.accept(requests)
        return [queue_full(self._max_queue) if i >= count else None for i in range(len(requests))]

    # Synchronous requests

    async def predict(
        self, payload: bytes, owner: str, timeout: float
    ) -> tuple[str, Outcome | None]:
        """Send a request to a worker; return its id, and its outcome within ``timeout`` seconds.

        The outcome is None when it did not come in time; its record can be asked for.  Raises
        QueueUnavailable.
        """
        waiter = self._ask(Waiter, Request(new_task_id(), payload, owner), timeout)
        try:
            return waiter.task_id, await self.outcome_of(waiter)
        except asyncio.CancelledError:
            self._abandon(waiter)
            raise
        finally:
            self._waiting.leave(waiter)

    async def outcome_of(self, waiter: Waiter) -> Outcome | None:
        """Return how a request ended, None when it did not in time; raises what else came of it."""
        try:
            return await waiter.future
        except TimeoutError:
            return await self._time_out(waiter)

    def _ask(self, kind: type[AnyWaiter], request: Request, timeout: float) -> AnyWaiter:
        """Send a request to a worker; return who waits for it.  Raises QueueUnavailable."""
        self._require_redis()
        self._note_trace(request.id)
        waiter = self._waiting.enter(kind, request.id, timeout, request)
        self._leave_soon(waiter)
        waiter.start_timer(timeout)  # then: it leaves also when its client waits for nothing
        return waiter

    def _leave_soon(self, waiter: Waiter) -> None:
        """Send a request together with those that came in with it, once they have been read."""
        if not self._leaving:
            self._loop.call_soon(self._leave)
        self._leaving.append(waiter)
        if len(self._leaving) >= LEAVE_TOGETHER:
            self._leave()

    def _leave(self) -> None:
        waiters = [each for each in self._leaving if not each.future.done()]
        self._leaving = []
        if not waiters:
            return
        now = self._loop.time()
        requests = [(each.request, each.deadline - now) for each in waiters if each.request]
        for waiter in waiters:
            waiter.is_confirmed = False
        queued = self._acceptance.enqueue_sync(requests)
        queued.add_done_callback(partial(self._confirm, waiters))

    @staticmethod
    def _confirm(waiters: Sequence[Waiter], reply: asyncio.Future[Any]) -> None:
        error = None if reply.cancelled() else reply.exception()
        for waiter in waiters:
            if error is None:
                waiter.is_confirmed = True
            else:
                waiter.fail(unconfirmed(error))

    async def _time_out(self, waiter: Waiter) -> Outcome | None:
        """Leave a record of a request whose client's time is up; return a late outcome.

        What was told before the record was made is heard before its being made is confirmed.
        Raises QueueUnavailable when Redis has confirmed neither record nor request.
        """
        waiter.future = self._loop.create_future()
        ignore_error(waiter.future)  # which may come when nobody asks for it any more
        request = waiter.request
        assert request is not None
        recorded = self._acceptance.time_out(request.id, request.owner)
        await asyncio.wait(
            [recorded, waiter.future], timeout=LAST_LOOK_SECONDS,
            return_when=asyncio.FIRST_COMPLETED,
        )  # fmt: skip
        ignore_error(recorded)
        if waiter.future.done():
            return waiter.future.result()
        is_recorded = recorded.done() and recorded.exception() is None
        if not (waiter.is_confirmed or is_recorded):
            raise QueueUnavailable(NOT_CONFIRMED)
        if not self.is_open:
            raise QueueUnavailable(LOST)
        return None

    def _abandon(self, waiter: Waiter) -> None:
        """Take back a request whose client has gone, if it has not been begun."""
        if waiter in self._leaving:
            self._leaving.remove(waiter)
        else:
            left = waiter.deadline - self._loop.time()
            ignore_error(self._acceptance.abandon(waiter.task_id, left))

    def _end_stream(self, task_id: str) -> None:
        """Have the worker stop that makes pieces nobody waits for: Redis may have lost the note."""
        ignore_error(self._acceptance.abandon(task_id, ABANDONED_SECONDS))

    def _note_trace(self, task_id: str) -> None:
        """Have the worker and the callbacks go on with the present trace.

        What is sent over this connection first is there first.
        """
        if self._tracing and (parent := self._tracing.traceparent(task_id=task_id)):
            ignore_error(self._subscriber.run("note_trace", task_id, parent, TRACE_SECONDS))

    # Records

    async def find(self, task_id: str, owner: str) -> Record | None:
        """Return where an owner's request stands, None for an id that is unknown to them.

        Raises QueueUnavailable.
        """
        self._require_redis(NOT_READ)
        (record,) = await asked(self._lookup.find([task_id]))
        return record if record is not None and record.owner == owner else None

    async def callback_of(self, task_id: str) -> dict[str, object]:
        """Return what is known of a request's callback, {} for none.  Raises QueueUnavailable."""
        return describe(await asked(self._redis.hgetall(callback_key(task_id))))

    async def wait(self, task_id: str, seconds: float) -> Outcome | None:
        """Return a request's outcome as soon as it has one, None if it has none in time.

        Raises QueueUnavailable when Redis cannot be asked.
        """
        self._require_redis(NOT_READ)
        waiter = self._waiting.enter(Waiter, task_id, seconds)
        waiter.start_timer(seconds)
        try:
            # Whoever ends the request after this finds who waits for it.
            watched = self._loop.create_task(self._watch(task_id, seconds))
            watched.add_done_callback(waiter.fail_with)
            return await waiter.future
        except TimeoutError:
            return None
        finally:
            self._waiting.leave(waiter)

    async def _watch(self, task_id: str, seconds: float) -> None:
        await asked(self._lookup.watch(task_id, seconds))
        with suppress(RedisError):  # _catch_up looks again, once there is a connection
            await self._resolve([task_id])

    async def cancel(self, task_id: str, owner: str) -> bool:
        """Cancel an owner's request; return False for an id that is unknown to them.

        Raises NotCancelled and QueueUnavailable.
        """
        self._require_redis(NOT_READ)
        if await asked(self._cancellation.cancel(task_id, owner)):
            return True
        record = await self.find(task_id, owner)  # a synchronous one that was answered has ended
        if record is not None:
            raise NotCancelled(REASONS["ended"], record.state)
        return False

    # Hearing

    def _hear(self, channel: bytes, data: bytes) -> None:
        if channel == self._control.encode():
            self._spawn(self._change_response_mode(data))
        elif channel == self._lost.encode():
            for waiter in self._waiting.lost(data.decode().split()):
                self._leave_soon(waiter)
        else:
            self._waiting.hear(data)

    async def _read(self, task_id: str) -> None:
        """Read an outcome that is too large to be told; one that was answered is not kept."""
        is_ours = any(each.task_id == task_id for each in self._waiting.unanswered())
        with suppress(RedisError):  # _catch_up looks again, once there is a connection
            await self._resolve([task_id])
            if is_ours:
                await self._subscriber.send("UNLINK", task_key(task_id))

    async def _change_response_mode(self, data: bytes) -> None:
        message = orjson.loads(data)
        receipt = message.pop("receipt")
        self.response_mode = ResponseMode(**message)
        await self._redis.lpush(receipt, self.name)
        await self._redis.expire(receipt, RECEIPT_SECONDS)

    async def _catch_up(self) -> None:
        """Read what may have been said while the connection was lost.

        Connections from before are closed: they lead to where Redis was then.
        """
        await self.client.connection_pool.disconnect(inuse_connections=False)
        self.response_mode = decode_response_mode(await self._redis.get(RESPONSE_KEY))
        run = (await self._redis.info("server"))["run_id"]
        for waiter in self._waiting.watching():  # Redis may have lost the note of it
            await self._lookup.watch(waiter.task_id, waiter.deadline - self._loop.time())
        await self._resolve(self._waiting.task_ids())
        if run != self._redis_run:
            self._redis_run = run
            for waiter in self._waiting.unanswered():  # Redis has forgotten them
                if waiter.can_be_sent_again:
                    self._leave_soon(waiter)
                else:
                    waiter.fail(QueueUnavailable(LOST))

    async def _resolve(self, task_ids: Sequence[str]) -> None:
        """Read records, and answer those who wait for one that is final."""
        if not task_ids:
            return
        for task_id, record in zip(task_ids, await self._lookup.find(task_ids), strict=True):
            if record is not None and record.is_final:
                self._waiting.resolve(Outcome(task_id, record.state, record.body))

    def _require_redis(self, otherwise: str = NOT_REACHED) -> None:
        if not self.is_open:
            raise QueueUnavailable(otherwise)

    def _spawn(self, coroutine: Coroutine[Any, Any, None]) -> None:
        task = self._loop.create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
