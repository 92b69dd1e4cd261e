"""REDIS_WAIT_REPLICAS: a request is accepted when replicas have it, and not before."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from app.runtime.api.dispatch import Dispatcher
from app.runtime.contract import Request, new_task_id
from app.runtime.requests.errors import NOT_REPLICATED, REFUSED, QueueUnavailable
from app.runtime.settings import parse_settings
from app.runtime.store.keys import PREDICTIONS_QUEUE, task_key

from ..polling import wait_until
from ..redis_servers import LOOPBACK, RedisServer, running

WAIT_SECONDS = 1.0
KEY, BODY = "a key", b"1"


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[RedisServer, RedisServer]]:
    """A master and its replica."""
    directory = tmp_path_factory.mktemp("pair")
    master = RedisServer(directory, "master", options=["repl-diskless-sync-delay 0"])
    replica = RedisServer(directory, "replica", options=[f"replicaof {LOOPBACK} {master.port}"])
    with running(master, replica):
        wait_for_replica(master)
        yield master, replica


def wait_for_replica(master: RedisServer) -> None:
    def has_one() -> bool:
        found: Any = master.client().info("replication")
        return bool(found["connected_slaves"]) and found["slave0"]["state"] == "online"

    wait_until(has_one, 20, what="the replica follows its master")


def dispatching(
    master: RedisServer, use: Callable[[Dispatcher], Awaitable[Any]], **settings: str
) -> Any:
    """Return what ``use`` makes of an API process that waits for one replica."""
    values = {
        "REDIS_URL": f"redis://{LOOPBACK}:{master.port}", "REDIS_WAIT_REPLICAS": "1",
        "REDIS_WAIT_SECONDS": str(WAIT_SECONDS), **settings,
    }  # fmt: skip

    async def run() -> Any:
        dispatcher = Dispatcher(parse_settings(values), batch_size=8)
        await dispatcher.start()
        try:
            async with asyncio.timeout(30):
                return await use(dispatcher)
        finally:
            await dispatcher.stop()

    return asyncio.run(run())


def test_what_is_accepted_is_on_a_replica(pair: tuple[RedisServer, RedisServer]) -> None:
    master, replica = pair

    async def use(dispatcher: Dispatcher) -> list[str]:
        requests = [Request(new_task_id(), BODY) for _ in range(20)]
        claims = [dispatcher.submit_once(Request(new_task_id(), BODY), KEY, BODY) for _ in "ab"]
        found, *_ = await asyncio.gather(*claims, *map(dispatcher.submit, requests))
        assert found is not None
        return [found.task_id, *(each.id for each in requests)]

    ids = dispatching(master, use)
    assert all(replica.client().mget([task_key(task_id) for task_id in ids]))


def test_without_a_replica_in_time_nothing_is_accepted_and_nothing_else_waits(
    pair: tuple[RedisServer, RedisServer],
) -> None:
    """Not even a request that another one with its key has queued meanwhile."""
    master, replica = pair
    master.client().flushall()

    async def use(dispatcher: Dispatcher) -> None:
        for _ in range(2):
            loop = asyncio.get_running_loop()
            once = asyncio.ensure_future(
                dispatcher.submit_once(Request(new_task_id(), BODY), KEY, BODY)
            )
            many = asyncio.ensure_future(dispatcher.submit(Request(new_task_id(), BODY)))
            began = loop.time()
            assert await dispatcher.find("unknown", "-") is None
            assert loop.time() - began < WAIT_SECONDS / 2
            for each in (once, many):
                with pytest.raises(QueueUnavailable) as refused:
                    await each
                assert str(refused.value) == NOT_REPLICATED

    assert replica.service is not None
    replica.client().replicaof("NO", "ONE")
    try:
        dispatching(master, use)
        assert master.client().llen(PREDICTIONS_QUEUE) == 3  # they may be predicted all the same
    finally:
        replica.client().replicaof(LOOPBACK, str(master.port))
        wait_for_replica(master)


def test_a_master_that_asks_for_replicas_itself_refuses(
    pair: tuple[RedisServer, RedisServer],
) -> None:
    master, _ = pair
    client = master.client()
    client.config_set("min-replicas-to-write", 2)

    async def use(dispatcher: Dispatcher) -> None:
        with pytest.raises(QueueUnavailable) as refused:
            await dispatcher.submit(Request(new_task_id(), BODY))
        assert str(refused.value) == REFUSED

    try:
        dispatching(master, use)
    finally:
        client.config_set("min-replicas-to-write", 0)


def test_a_server_that_was_demoted_is_left(
    pair: tuple[RedisServer, RedisServer], tmp_path: Path
) -> None:
    """It may answer for long: reads succeed there, and its connections stay open."""
    master, replica = pair
    url = f"redis://{LOOPBACK}:{replica.port}"

    async def use(dispatcher: Dispatcher) -> None:
        assert dispatcher.is_open
        with pytest.raises(QueueUnavailable):
            await dispatcher.submit(Request(new_task_id(), BODY))
        async with asyncio.timeout(10):
            while dispatcher.is_open:
                await asyncio.sleep(0.01)

    dispatching(master, use, REDIS_URL=url, REDIS_WAIT_REPLICAS="0")
