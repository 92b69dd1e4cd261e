"""Requests and those who wait for them while Redis is away, hangs, or is another."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Awaitable, Callable, Iterator, Sequence
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import redis

from app.runtime.api.dispatch import Dispatcher
from app.runtime.contract import NOBODY, SUCCESS, Outcome, Request
from app.runtime.requests.errors import QueueUnavailable
from app.runtime.requests.lookup import Lookup
from app.runtime.settings import parse_settings
from app.runtime.store import connection
from app.runtime.store.codecs import Record
from app.runtime.store.keys import SYNC_QUEUE, task_key

from ..deployment import Deployment, deployed
from ..network import Network
from .dispatching import dispatching, finish_sync, taken, until


@pytest.fixture
def apart(tmp_path: Path) -> Iterator[Deployment]:
    """Yield a Redis that the test stops and starts."""
    with deployed(tmp_path, None) as deployment:
        deployment.start_redis()
        yield deployment


def test_without_redis_everything_is_refused_at_once(apart: Deployment) -> None:
    async def use(dispatcher: Dispatcher) -> None:
        apart.services.pop("redis").kill()
        await until(lambda: not dispatcher.is_open)
        for asked in (
            dispatcher.predict(b"1", NOBODY, 20),
            dispatcher.submit(Request("1", b"1")),
            dispatcher.submit_once(Request("1", b"1"), "key", b"body"),
            dispatcher.find("1", NOBODY),
            dispatcher.cancel("1", NOBODY),
            dispatcher.wait("1", 20),
        ):
            async with asyncio.timeout(4):
                with pytest.raises(QueueUnavailable, match="cannot be reached"):
                    await asked

    dispatching(apart, use)


def test_what_clients_wait_for_is_sent_again_to_a_new_redis(apart: Deployment) -> None:
    client = redis.Redis.from_url(apart.environment["REDIS_URL"])

    async def use(dispatcher: Dispatcher) -> None:
        asking = asyncio.create_task(dispatcher.predict(b"1", NOBODY, 30))
        await until(lambda: client.llen(SYNC_QUEUE) == 1)
        apart.services.pop("redis").kill()
        apart.start_redis()
        (task_id,) = await taken(client)
        finish_sync(client, dispatcher, task_id)
        assert (await asking)[0] == task_id

    dispatching(apart, use)
    client.close()


def test_an_end_that_came_while_the_connection_was_lost_is_found(apart: Deployment) -> None:
    client = redis.Redis.from_url(apart.environment["REDIS_URL"])

    async def use(dispatcher: Dispatcher) -> None:
        request = Request(str(uuid4()), b"1")
        await dispatcher.submit(request)
        waiting = asyncio.create_task(dispatcher.wait(request.id, 20))
        await until(lambda: client.keys("denzel:watchers:*"))
        client.client_kill_filter(_type="pubsub")
        client.set(task_key(request.id), b"SUCCESS - {}")
        assert await waiting == Outcome(request.id, SUCCESS, b"{}")

    dispatching(apart, use)
    client.close()


def test_a_connection_lost_while_a_wait_begins_is_no_error(
    apart: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = redis.Redis.from_url(apart.environment["REDIS_URL"])
    find = Lookup.find
    lost: list[int] = []

    async def lose_it_and_find(lookup: Lookup, task_ids: Sequence[str]) -> list[Record | None]:
        if not lost:
            lost.append(client.client_kill_filter(_type="pubsub"))
        return await find(lookup, task_ids)

    async def use(dispatcher: Dispatcher) -> None:
        request = Request(str(uuid4()), b"1")
        await dispatcher.submit(request)
        monkeypatch.setattr(Lookup, "find", lose_it_and_find)
        waiting = asyncio.create_task(dispatcher.wait(request.id, 20))
        await until(lambda: lost)
        client.set(task_key(request.id), b"SUCCESS - {}")
        assert await waiting == Outcome(request.id, SUCCESS, b"{}")

    dispatching(apart, use)
    client.close()


def test_no_request_meets_a_connection_from_before(
    apart: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They may lead nowhere without anybody having been told, as when a machine has failed."""
    monkeypatch.setattr(connection, "QUIET_SECONDS", 0.5)
    monkeypatch.setattr(connection, "PONG_SECONDS", 1.0)
    monkeypatch.setattr(connection, "LOOK_SECONDS", 0.1)

    async def ask(dispatcher: Dispatcher) -> None:
        await asyncio.gather(*(dispatcher.callback_of(str(uuid4())) for _ in range(20)))

    async def run() -> None:
        network = Network(apart.redis_socket)
        async with network.running(), asyncio.timeout(30):
            url = f"redis://127.0.0.1:{network.port}/0"
            dispatcher = Dispatcher(parse_settings({"REDIS_URL": url}), batch_size=8)
            await dispatcher.start()
            await ask(dispatcher)
            network.cut()
            await until(lambda: not dispatcher.is_open)
            await until(lambda: dispatcher.is_open)
            async with asyncio.timeout(4):
                await ask(dispatcher)
            await dispatcher.stop()

    asyncio.run(run())


def test_who_waits_when_redis_is_lost_is_not_sent_to_ask_for_a_record(apart: Deployment) -> None:
    """There will be none."""
    client = redis.Redis.from_url(apart.environment["REDIS_URL"])

    async def use(dispatcher: Dispatcher) -> None:
        asking = asyncio.create_task(dispatcher.predict(b"1", NOBODY, 3))
        await taken(client)
        apart.services.pop("redis").kill()
        with pytest.raises(QueueUnavailable, match="was lost"):
            await asking

    dispatching(apart, use)
    client.close()


@pytest.mark.parametrize("kind", ["sync", "async", "keyed"])
def test_redis_that_hangs_is_told_in_time_with_the_truth(apart: Deployment, kind: str) -> None:
    """The request may have been queued; no path and no address is in the text."""

    async def use(dispatcher: Dispatcher) -> None:
        apart.services["redis"].signal(signal.SIGSTOP)
        request = Request(str(uuid4()), b"1")
        asking: dict[str, Callable[[], Awaitable[Any]]] = {
            "sync": lambda: dispatcher.predict(b"1", NOBODY, 0.5),
            "async": lambda: dispatcher.submit(request, 0.5),
            "keyed": lambda: dispatcher.submit_once(request, "key", b"body", 0.5),
        }
        try:
            async with asyncio.timeout(4):
                with pytest.raises(QueueUnavailable) as refused:
                    await asking[kind]()
        finally:
            apart.services["redis"].signal(signal.SIGCONT)
        assert "may have been queued" in str(refused.value)
        assert "Idempotency-Key" in str(refused.value)
        assert "/" not in str(refused.value)

    dispatching(apart, use)
