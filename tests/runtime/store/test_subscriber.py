"""What an API process hears from Redis, also when its connection ends without a word."""

from __future__ import annotations

import asyncio
from pathlib import Path

import redis

from app.runtime.settings import parse_redis_url
from app.runtime.store.connection import PONG_SECONDS, QUIET_SECONDS
from app.runtime.store.subscriber import Subscriber

from ..deployment import Deployment, deployed
from ..network import Network

NAME = "denzel:reply:test"


async def _hears_after_a_cut(deployment: Deployment) -> list[bytes]:
    network = Network(deployment.redis_socket)
    opened: asyncio.Queue[None] = asyncio.Queue()
    heard: asyncio.Queue[bytes] = asyncio.Queue()
    client = redis.Redis.from_url(deployment.environment["REDIS_URL"])
    async with network.running():
        subscriber = Subscriber(
            parse_redis_url(f"redis://127.0.0.1:{network.port}"), (NAME,), lambda: opened.put(None),
            lambda name, data: heard.put_nowait(data),
        )  # fmt: skip
        await subscriber.start()
        try:
            async with asyncio.timeout(3 * (QUIET_SECONDS + PONG_SECONDS)):
                await opened.get()
                client.publish(NAME, "before")
                first = await heard.get()
                network.cut()
                client.publish(NAME, "lost")
                await opened.get()
                client.publish(NAME, "after")
                return [first, await heard.get()]
        finally:
            await subscriber.stop()
            client.close()


def test_a_connection_that_ends_without_a_word_is_noticed(tmp_path: Path) -> None:
    with deployed(tmp_path, None) as deployment:
        deployment.start_redis()
        assert asyncio.run(_hears_after_a_cut(deployment)) == [b"before", b"after"]
