"""Both sides of the queues, as tests use them: an API process's, and a worker's."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from typing import Any
from uuid import uuid4

import redis

from app.runtime.contract import NOBODY, Request
from app.runtime.requests.acceptance import Acceptance
from app.runtime.requests.cancellation import Cancellation
from app.runtime.requests.lookup import Lookup
from app.runtime.requests.worker_queue import Demand, Taken, WorkerQueue
from app.runtime.settings import parse_redis_url
from app.runtime.store.codecs import Record, decode_record
from app.runtime.store.connection import Connection
from app.runtime.store.keys import (
    PREDICTIONS_QUEUE,
    SYNC_QUEUE,
    WORKERS_KEY,
    lost_channel,
    reply_channel,
    task_key,
    work_channel,
)
from app.runtime.store.messages import decode_message, rest_of_sync_message

QUEUES = [PREDICTIONS_QUEUE, SYNC_QUEUE]
LOST_CHANNEL, WORK_CHANNEL = lost_channel(0), work_channel(0)
SOON = 10.0
RESULT_SECONDS = 600
LEASE_SECONDS = 30.0
PLENTY = Demand(size=100, wait=0.0, seconds=0.0, free=1)


def sync_message(request: Request, reply_to: str = "api", timeout: float = 5.0) -> bytes:
    """Return a synchronous request's message as ``enqueue_sync.lua`` makes it, in 2001."""
    head = b'{"headers":{"id":"%b","sent":1000000000.000000' % request.id.encode()
    return head + rest_of_sync_message(request, reply_to, timeout)


class Api:
    """An API process called ``name``, over its real connection to Redis."""

    def __init__(
        self, url: str, name: str = "api", *, max_queue: int = 10**6, batch_size: int = 8
    ) -> None:
        self.name = name
        self.heard: list[tuple[bytes, bytes]] = []
        self._loop = asyncio.new_event_loop()
        channels = (reply_channel(name), LOST_CHANNEL, WORK_CHANNEL)
        address = parse_redis_url(url)
        self.connection: Connection = self.do(
            Connection.connect(address, channels, lambda *message: self.heard.append(message))
        )
        self.acceptance = Acceptance(self.connection.run, name, max_queue, batch_size)
        self.lookup = Lookup(self.connection.run, None, name)

    def do(self, work: Coroutine[Any, Any, Any] | asyncio.Future[Any]) -> Any:
        """Return what comes of something asynchronous."""

        async def in_time() -> Any:
            async with asyncio.timeout(SOON):
                return await work

        return self._loop.run_until_complete(in_time())

    def run(self, name: str, *arguments: Any) -> Any:
        """Return a script's answer."""
        return self.do(self.connection.run(name, *arguments))

    def accept(
        self, count: int = 1, *, owner: str = NOBODY, callback_uri: str | None = None,
        payload: bytes = b'{"value": 1}',
    ) -> list[str]:  # fmt: skip
        """Queue asynchronous requests; return the ids of those that were accepted."""
        requests = [Request(str(uuid4()), payload, owner, callback_uri) for _ in range(count)]
        accepted = self.do(self.acceptance.accept(requests))
        return [request.id for request in requests[:accepted]]

    def enqueue(
        self, count: int = 1, *, owner: str = NOBODY, timeout: float = 60.0,
        payload: bytes = b'{"value": 1}',
    ) -> list[str]:  # fmt: skip
        """Queue synchronous requests; return their ids."""
        requests = [Request(str(uuid4()), payload, owner) for _ in range(count)]
        self.do(self.acceptance.enqueue_sync([(request, timeout) for request in requests]))
        return [request.id for request in requests]

    def put(self, queue: str, count: int = 1, **options: Any) -> list[str]:
        """Queue requests of the queue's kind; return their ids."""
        queueing = self.accept if queue == PREDICTIONS_QUEUE else self.enqueue
        return queueing(count, **options)

    def find(self, *task_ids: str) -> list[Record | None]:
        """Return what is known of requests."""
        found: list[Record | None] = self.do(self.lookup.find(task_ids))
        return found

    def cancel(self, task_id: str, owner: str = NOBODY, *, stop_running: bool = False) -> bool:
        """Cancel a request."""
        cancellation = Cancellation(self.connection.run, RESULT_SECONDS, stop_running=stop_running)
        return bool(self.do(cancellation.cancel(task_id, owner)))

    def hear(self, channel: str) -> list[bytes]:
        """Return what has been published on a channel since the last call."""
        self.do(self.connection.send("PING"))  # what was published before comes before its reply
        found = [data for name, data in self.heard if name == channel.encode()]
        self.heard = [each for each in self.heard if each[0] != channel.encode()]
        return found

    def close(self) -> None:
        """Hang up."""
        self.connection.close()
        self._loop.run_until_complete(asyncio.sleep(0))
        self._loop.close()


def worker(client: redis.Redis, holder: str = "lab/host/1") -> WorkerQueue:
    """Return a worker's side of the queues, with its lease."""
    queue = WorkerQueue(client, holder, LEASE_SECONDS)
    queue.renew()
    return queue


def take(
    queue: WorkerQueue, demand: Demand = PLENTY, first_queue: str = SYNC_QUEUE
) -> tuple[list[str], Taken]:
    """Take a batch; return the ids in their order, and all that was told."""
    taken = queue.take(demand, first_queue)
    return [decode_message(message).id for message, _, _ in taken.requests], taken


def held(client: Any, holder: str = "lab/host/1") -> set[str]:
    """Return the ids of all that a worker holds by Redis's account."""
    keys = (f"denzel:held:{holder}", f"denzel:held.sync:{holder}")
    return {each.decode() for key in keys for each in client.smembers(key)}


def lapse(client: Any, holder: str) -> None:
    """Have a worker's lease end now."""
    client.zadd(WORKERS_KEY, {holder: client.time()[0] - 1})


def record(client: Any, task_id: str) -> Record | None:
    """Return the record that stands in Redis."""
    found = client.get(task_key(task_id))
    return None if found is None else decode_record(found)


def states(client: Any, task_ids: Sequence[str]) -> list[str | None]:
    """Return the states in the records of requests."""
    found = [record(client, each) for each in task_ids]
    return [None if each is None else each.state for each in found]
