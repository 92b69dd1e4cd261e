"""How requests travel from an API process to the workers, and outcomes back.

Requests that wait at the same moment leave together as one Celery task (``grouping.py`` says
how many), and come back as one message on a Redis channel of this process's own, so nothing
polls and no thread waits.  Every outcome also stands in its record, which is read again
whenever the channel comes back and before a request is given up.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any
from uuid import uuid4

import orjson
import redis.asyncio
from redis.exceptions import OutOfMemoryError, RedisError

from app.runtime.api.admission import memory_full
from app.runtime.api.errors import QueueUnavailable
from app.runtime.api.grouping import GroupPolicy
from app.runtime.api.in_flight import Group, InFlight
from app.runtime.api.keeper import Keeper
from app.runtime.callbacks.undelivered import describe
from app.runtime.contract import (
    FINAL_STATES,
    PENDING,
    SYNC_TTL_SECONDS,
    Outcome,
    Request,
    ResponseMode,
)
from app.runtime.requests import synchronous
from app.runtime.requests.acceptance import Acceptance, Claim, queue_full
from app.runtime.store.codecs import decode_reply, decode_response_mode, encode_record, find_outcome
from app.runtime.store.keys import (
    CONTROL_CHANNEL,
    RESPONSE_KEY,
    SPEED_KEY,
    WORKERS_KEY,
    callback_key,
    frame_key,
    group_ids,
    reply_channel,
    task_key,
)
from app.runtime.store.messages import encode_prediction_message
from app.runtime.store.subscriber import Channel

RECEIPT_SECONDS = 60
WATCH_SECONDS = 1.0
GROUP_BYTES = 4 * 2**20
"""Payloads of a group together, unless a single one is larger: a worker holds them all."""
WORKER_GONE_SECONDS = 10.0

log = logging.getLogger("denzel.dispatch")


@dataclass(frozen=True, slots=True)
class Record:
    """What is known of a request: Celery's state, the result as JSON, its callback if any."""

    state: str
    body: bytes
    callback: dict[str, object]


@dataclass(eq=False, slots=True)
class _Waiter:
    """A synchronous request whose client waits; it gets its id when it is sent."""

    payload: bytes
    future: asyncio.Future[Outcome]
    since: float
    task_id: str = ""
    group: Group | None = None


@dataclass(eq=False, slots=True)
class _Accepted:
    """An asynchronous request; ``stored`` is set when it is in Redis."""

    request: Request
    stored: asyncio.Future[None]


@dataclass
class _Workers:
    """The workers alive, told by whether what each writes of itself still changes."""

    seen: dict[bytes, tuple[bytes, float]] = field(default_factory=dict)

    def processes(self, records: dict[bytes, bytes], now: float) -> int:
        """Return how many processes the living workers have together."""
        count = 0
        for name, record in records.items():
            if self.seen.get(name, (b"", 0.0))[0] != record:
                self.seen[name] = (record, now)
            if now - self.seen[name][1] < WORKER_GONE_SECONDS:
                count += orjson.loads(record)["processes"]
        return count


class Dispatcher:
    """One API process's way to the workers and back; made before its event loop runs."""

    def __init__(
        self,
        redis_url: str,
        result_ttl: int,
        policy: GroupPolicy,
        api_processes: int = 1,
        max_queue: int = 10**9,
    ) -> None:
        self.name = uuid4().hex
        self.response_mode = ResponseMode()
        self._policy = policy
        self._result_ttl = result_ttl
        self._api_processes = api_processes
        self._max_queue = max_queue
        self.client = redis.asyncio.Redis.from_url(
            redis_url, socket_connect_timeout=2, socket_timeout=5, health_check_interval=25
        )
        # Any: redis-py types its answers bytes | str; without decode_responses they are bytes.
        self._redis: Any = self.client
        self._keeper = Keeper(self.client)
        self._acceptance = Acceptance(self.client, self.name, max_queue)
        names = (reply_channel(self.name), CONTROL_CHANNEL)
        self._channel = Channel(redis_url, names, self._catch_up, self._hear)
        # Asked for it, asyncio also asks the system for the process's id each time.
        self._loop: asyncio.AbstractEventLoop
        self._waiting: dict[str, _Waiter] = {}
        self._gathering: deque[_Waiter] = deque()
        self._in_flight = InFlight(policy)
        self._redis_run = ""
        self._accepting: deque[_Accepted] = deque()
        self._tasks: set[asyncio.Task[None]] = set()
        self._storing = False
        self._sending_soon = False
        self._patience_timer: asyncio.TimerHandle | None = None

    async def start(self) -> None:
        """Begin to listen for outcomes; Redis need not be there yet."""
        self._loop = asyncio.get_running_loop()
        await self._channel.start()
        self._spawn(self._watch_workers())
        await self._keeper.start()

    async def stop(self) -> None:
        """Stop listening and close the connections."""
        for task in self._tasks:
            task.cancel()
        await self._channel.stop()
        await self._keeper.stop()
        await self._redis.aclose()

    async def submit(self, request: Request) -> None:
        """Queue an asynchronous request; when this returns it is in Redis.

        Those that arrive while an earlier group is being stored are stored together next.
        Raises QueueFull and QueueUnavailable.
        """
        self._require_redis()
        accepted = _Accepted(request, self._loop.create_future())
        self._accepting.append(accepted)
        if not self._storing:
            self._storing = True
            self._spawn(self._store_accepted())
        await accepted.stored

    async def submit_once(self, request: Request, key: str, body: bytes) -> Claim:
        """Queue an asynchronous request unless its Idempotency-Key was used before.

        ``body`` is what the client sent.  Raises KeyReused, QueueFull and QueueUnavailable.
        """
        self._require_redis()
        try:
            return await self._acceptance.accept_once(request, key, body)
        except (RedisError, OSError) as error:
            raise _unavailable(error) from error

    async def predict(self, payload: bytes, timeout: float) -> tuple[str, Outcome | None]:
        """Send a request to a worker; return its id, and its outcome within ``timeout`` seconds.

        The outcome is None when it did not come in time; the request goes on and its record can
        be asked for.  Raises QueueUnavailable.
        """
        self._require_redis()
        waiter = _Waiter(payload, self._loop.create_future(), time.monotonic())
        self._gathering.append(waiter)
        self._send_soon()
        # Leaner than asyncio.timeout, which this would enter for each request.
        timer = self._loop.call_later(timeout, give_up, waiter.future)
        try:
            outcome = await waiter.future
            return waiter.task_id, outcome
        except TimeoutError:
            return await self._last_look(waiter)
        except asyncio.CancelledError:
            with suppress(ValueError):  # its client has gone: what was not sent need not be
                self._gathering.remove(waiter)
            raise
        finally:
            timer.cancel()
            self._waiting.pop(waiter.task_id, None)
            self._leave_group(waiter)

    async def record(self, task_id: str, *, is_redis_up: bool = False) -> Record | None:
        """Return what is known of a request, None if the id is unknown.

        ``is_redis_up`` says that Redis has answered a moment ago, also if this process's
        channel is not open again yet.  Raises QueueUnavailable.
        """
        if not is_redis_up:
            self._require_redis()
        pipe = self._redis.pipeline(transaction=False)
        pipe.get(task_key(task_id))
        pipe.get(frame_key(task_id))
        pipe.hgetall(callback_key(task_id))
        try:
            record, frame, callback = await pipe.execute()
        except (RedisError, OSError) as error:
            raise _unavailable(error) from error
        outcome = find_outcome(task_id, record, frame)
        return None if outcome is None else Record(outcome.state, outcome.body, describe(callback))

    # Sending

    def _send_soon(self) -> None:
        """Send what gathers once the requests that came in with this one have been read."""
        if not self._sending_soon:
            self._sending_soon = True
            self._loop.call_soon(self._send_groups)

    def _send_groups(self) -> None:
        """Send what gathers, as long as another group may be under way."""
        self._sending_soon = False
        while self._gathering and self._in_flight.has_room:
            gathered = len(self._gathering)
            patience = self._in_flight.patience(gathered, self._gathering[0].since)
            if patience > 0:
                self._send_later(patience)
                return
            self._send_group(self._take_group(), gathered)

    def _send_later(self, seconds: float) -> None:
        """Send what gathers in ``seconds`` at the latest; a full batch goes sooner."""
        if self._patience_timer is not None:
            self._patience_timer.cancel()
        self._patience_timer = self._loop.call_later(seconds, self._send_groups)

    def _take_group(self) -> list[_Waiter]:
        """Take the next group from what gathers; large payloads make it smaller."""
        group = [self._gathering.popleft()]
        room = GROUP_BYTES - len(group[0].payload)
        while self._gathering and len(group) < self._policy.size:
            room -= len(self._gathering[0].payload)
            if room < 0:
                break
            group.append(self._gathering.popleft())
        return group

    def _send_group(self, waiters: Sequence[_Waiter], gathered: int) -> None:
        """Send one group, out of ``gathered`` requests."""
        ids = group_ids(len(waiters))
        group = self._in_flight.send(ids[0], len(waiters), gathered)
        requests = []
        for waiter, task_id in zip(waiters, ids, strict=True):
            waiter.task_id, waiter.group = task_id, group
            self._waiting[task_id] = waiter
            requests.append(Request(task_id, waiter.payload))
        if all(request.is_inline for request in requests):
            self._publish(requests).add_done_callback(partial(self._sent, requests[0].id, waiters))
        else:
            self._spawn(self._send_large(requests, waiters))

    def _publish(self, requests: Sequence[Request]) -> asyncio.Future[Any]:
        """Put one task for synchronous requests on the queue."""
        now = time.time()
        message = encode_prediction_message(
            requests, self.name, sent=now, expires=now + SYNC_TTL_SECONDS
        )
        return self._channel.send(*synchronous.push(message))

    async def _send_large(self, requests: Sequence[Request], waiters: Sequence[_Waiter]) -> None:
        """Store the large payloads of a group first: its message may come sooner than they."""
        large = [request for request in requests if not request.is_inline]
        try:
            await self._redis.execute_command(*synchronous.store(large, SYNC_TTL_SECONDS))
            await self._publish(requests)
        except (RedisError, OSError) as error:
            self._fail(requests[0].id, waiters, error)

    def _sent(self, group: str, waiters: Sequence[_Waiter], reply: asyncio.Future[Any]) -> None:
        error = None if reply.cancelled() else reply.exception()
        if error is not None:
            self._fail(group, waiters, error)

    def _fail(self, group: str, waiters: Sequence[_Waiter], error: BaseException) -> None:
        self._in_flight.lose(group)
        for waiter in waiters:
            if not waiter.future.done():
                waiter.future.set_exception(_unavailable(error))
        self._send_groups()

    async def _store_accepted(self) -> None:
        """Store asynchronous requests, group after group, until none is left."""
        try:
            while self._accepting:
                size = min(self._policy.size, len(self._accepting))
                group = [self._accepting.popleft() for _ in range(size)]
                try:
                    count = await self._acceptance.accept([each.request for each in group])
                except (RedisError, OSError) as error:
                    self._refuse(group, partial(_unavailable, error))
                else:
                    self._refuse(group[count:], partial(queue_full, self._max_queue))
                    for accepted in group[:count]:
                        if not accepted.stored.done():
                            accepted.stored.set_result(None)
        finally:
            self._storing = False

    @staticmethod
    def _refuse(group: Sequence[_Accepted], error: Callable[[], QueueUnavailable]) -> None:
        for accepted in group:
            if not accepted.stored.done():
                accepted.stored.set_exception(error())

    # Hearing

    def _hear(self, channel: bytes, data: bytes) -> None:
        if channel == CONTROL_CHANNEL.encode():
            self._spawn(self._change_response_mode(data))
            return
        reply = decode_reply(data)
        if reply.seconds:
            self._policy.observe(len(reply.outcomes), reply.seconds)
        self._in_flight.answer(reply.group, len(self._gathering))
        if not reply.is_written:
            self._keeper.note(synchronous.outcome_key(reply), len(data))
        for outcome in reply.outcomes:
            self._resolve(outcome)
        self._send_groups()

    def _resolve(self, outcome: Outcome) -> None:
        waiter = self._waiting.get(outcome.id)
        if waiter is not None and not waiter.future.done():
            waiter.future.set_result(outcome)

    def _leave_group(self, waiter: _Waiter) -> None:
        """Stop counting on a group's reply once nobody waits for any of it."""
        if waiter.group is not None and self._in_flight.abandon(waiter.group):
            self._send_groups()

    async def _change_response_mode(self, data: bytes) -> None:
        message = orjson.loads(data)
        receipt = message.pop("receipt")
        self.response_mode = ResponseMode(**message)
        await self._redis.lpush(receipt, self.name)
        await self._redis.expire(receipt, RECEIPT_SECONDS)

    async def _catch_up(self) -> None:
        """Read what may have been said while the channel was closed.

        Connections from before are closed: they lead to where Redis was then.
        """
        await self.client.connection_pool.disconnect(inuse_connections=False)
        self.response_mode = decode_response_mode(await self._redis.get(RESPONSE_KEY))
        run = (await self._redis.info("server"))["run_id"]
        if self._waiting:
            await self._find_missed()
        if run != self._redis_run:
            self._redis_run = run
            self._send_again()

    async def _find_missed(self) -> None:
        """Read the outcomes of those who wait."""
        waiting = list(self._waiting)
        records = await self._redis.mget([task_key(each) for each in waiting])
        frames = await self._redis.mget([frame_key(each) for each in waiting])
        for task_id, record, frame in zip(waiting, records, frames, strict=True):
            outcome = find_outcome(task_id, record, frame)
            if outcome is not None and outcome.state in FINAL_STATES:
                self._keep(outcome)
                self._resolve(outcome)

    def _keep(self, outcome: Outcome) -> None:
        """Have an outcome written that this process did not hear of; it stands at either key."""
        for key in (task_key(outcome.id), frame_key(outcome.id)):
            self._keeper.note(key, len(outcome.body))

    def _send_again(self) -> None:
        """Send what Redis has forgotten, having been started anew; it gets other ids."""
        self._in_flight = InFlight(self._policy)
        for waiter in self._waiting.values():
            if not waiter.future.done():
                waiter.task_id, waiter.group = "", None
                self._gathering.append(waiter)
        self._waiting.clear()
        self._send_soon()

    async def _last_look(self, waiter: _Waiter) -> tuple[str, Outcome | None]:
        """Read the outcome once more; leave a record behind, so that the id stays known."""
        if not waiter.task_id:  # it has not been sent: send it now, on its own
            self._gathering.remove(waiter)
            self._send_group([waiter], 1)
        task_id = waiter.task_id
        try:
            pending = encode_record(PENDING)
            await self._redis.set(task_key(task_id), pending, ex=self._result_ttl, nx=True)
        except (RedisError, OSError) as error:
            raise _unavailable(error) from error
        record = await self.record(task_id)
        if record is None or record.state not in FINAL_STATES:
            return task_id, None
        outcome = Outcome(task_id, record.state, record.body)
        self._keep(outcome)
        return task_id, outcome

    async def _watch_workers(self) -> None:
        """Keep the policy's idea of the workers fresh."""
        workers = _Workers()
        clock = asyncio.get_running_loop().time
        while True:
            with suppress(RedisError, OSError):
                processes = workers.processes(await self._redis.hgetall(WORKERS_KEY), clock())
                self._policy.slots = max(1, processes // self._api_processes)
                speed = await self._redis.get(SPEED_KEY)
                if speed is not None:
                    self._policy.learn(float(speed))
            await asyncio.sleep(WATCH_SECONDS)

    def _require_redis(self) -> None:
        if not self._channel.is_open:
            raise QueueUnavailable("Redis cannot be reached; nothing was queued")

    def _spawn(self, coroutine: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def give_up(future: asyncio.Future[Outcome]) -> None:
    """End the wait for an outcome that did not come in time."""
    if not future.done():
        future.set_exception(TimeoutError())


def _unavailable(error: BaseException) -> QueueUnavailable:
    if isinstance(error, OutOfMemoryError):
        return memory_full()
    return QueueUnavailable(f"Redis cannot take the request: {error}")
