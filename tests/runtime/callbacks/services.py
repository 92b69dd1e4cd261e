"""Callbacks services under test, on a Redis of their own, and what they are given to deliver."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from collections.abc import Iterable, Iterator
from typing import Any

import redis

from app.runtime.callbacks.addresses import AddressPolicy
from app.runtime.callbacks.deliveries import Deliveries, Retention
from app.runtime.callbacks.schedule import RetrySchedule
from app.runtime.callbacks.sender import Sender
from app.runtime.callbacks.service import CallbackService
from app.runtime.callbacks.undelivered import Undelivered
from app.runtime.contract import NOBODY
from app.runtime.store.client import connect_async
from app.runtime.store.codecs import encode_record
from app.runtime.store.lua_scripts import load_script

from ..deployment import Deployment
from ..polling import wait_until

CLAIM_SECONDS = 3.0
RESULT = b'{"a":1}'
RETENTION = Retention(result_ttl=60, failed_ttl=600, failed_max=1000)
DUE = "denzel:callbacks:due"

_QUEUE = (
    load_script("clock")
    + load_script("queue_callback")
    + """
for i = 1, #ARGV, 3 do
  redis.call('SET', 'denzel:task:' .. ARGV[i], ARGV[i + 2])
  queue_callback(ARGV[i], ARGV[i + 1], now)
end
"""
)


def queue(
    client: redis.Redis, callbacks: Iterable[tuple[str, str]], result: bytes = RESULT
) -> None:
    """End requests, given by id and URI, that named a callback."""
    arguments: list[str | bytes] = []
    for task_id, uri in callbacks:
        arguments += [task_id, uri, encode_record("SUCCESS", NOBODY, result)]
    client.eval(_QUEUE, 1, "0", *arguments)


def state(client: redis.Redis, task_id: str) -> object:
    """Return what became of a callback."""
    return describe(client, task_id).get("state")


def describe(client: redis.Redis, task_id: str) -> dict[str, Any]:
    """Return what is known of a callback."""
    return Undelivered(client, result_ttl=60).describe(task_id)


def wait_until_delivered(client: redis.Redis) -> None:
    """Return when no callback is left to be delivered."""

    def left() -> str:
        due: Any = client.zrange(DUE, 0, -1, withscores=True)
        return "\n".join(f"{each} {at}: {describe(client, each.decode())}" for each, at in due)

    wait_until(lambda: client.zcard(DUE) == 0, 60, what="all are delivered", evidence=left)


def score(client: redis.Redis, task_id: str) -> float | None:
    """Return when a callback is due, or its claim ends."""
    found: Any = client.zscore(DUE, task_id)
    return found


class Service:
    """A callbacks service in a thread; ``options`` replace those of its sender."""

    def __init__(
        self,
        lab: Deployment,
        *,
        retention: Retention = RETENTION,
        claim_seconds: float = CLAIM_SECONDS,
        **options: Any,
    ) -> None:
        self._started = threading.Event()
        self._lab = lab
        self._kept = (retention, claim_seconds)
        self._options = {"policy": AddressPolicy(allow_loopback=True), **options}
        self._thread = threading.Thread(target=lambda: asyncio.run(self._main()), daemon=True)
        self._thread.start()
        self._started.wait(10)

    async def _main(self) -> None:
        self.loop, self._stopped = asyncio.get_running_loop(), asyncio.Event()
        async with connected(self._lab, *self._kept) as deliveries:
            self.sender = Sender(**self._options)
            self.service = CallbackService(deliveries, self.sender, RetrySchedule())
            running = asyncio.create_task(self.service.run(self._stopped))
            self._started.set()
            with contextlib.suppress(asyncio.CancelledError):
                await running
            while left := asyncio.all_tasks() - {asyncio.current_task()}:  # of one that died
                for task in left:
                    task.cancel()
                await asyncio.wait(left, timeout=1)

    def stop(self) -> None:
        """Stop it as SIGTERM does, unless it has ended."""
        with contextlib.suppress(RuntimeError):
            self.loop.call_soon_threadsafe(self._stopped.set)
        self._join()

    def die(self) -> None:
        """End it as SIGKILL does: nothing is given back."""

        def cancel_all() -> None:
            for slots in (self.sender.slots, self.sender.resolver.slots):
                slots.on_release = lambda key: None  # the dead begin nothing more
            for task in asyncio.all_tasks():
                task.cancel()

        self.loop.call_soon_threadsafe(cancel_all)
        self._join()

    def _join(self) -> None:
        self._thread.join(30)
        assert not self._thread.is_alive(), "it would serve the next test, too"


@contextlib.contextmanager
def serving(lab: Deployment, **options: Any) -> Iterator[Service]:
    """Run a service."""
    service = Service(lab, **options)
    try:
        yield service
    finally:
        service.stop()


@contextlib.asynccontextmanager
async def connected(
    lab: Deployment, retention: Retention = RETENTION, claim_seconds: float = CLAIM_SECONDS
) -> Any:
    """Yield the service's side of the callbacks."""
    client = connect_async(lab.redis, answer_seconds=10)
    deliveries = Deliveries(client, claim_seconds=claim_seconds, retention=retention)
    try:
        yield deliveries
    finally:
        await deliveries.close()


@contextlib.contextmanager
def hanging(count: int, address: str = "127.0.0.1") -> Iterator[list[int]]:
    """Yield the ports of receivers that accept connections and never read nor answer."""
    with contextlib.ExitStack() as stack:
        servers = [
            stack.enter_context(socket.create_server((address, 0), backlog=128))
            for _ in range(count)
        ]
        yield [server.getsockname()[1] for server in servers]
