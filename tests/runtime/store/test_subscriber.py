"""What an API process hears from Redis, also when its connection ends without a word."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import redis
from app.runtime.store.link import PONG_SECONDS, QUIET_SECONDS

from app.runtime.store.subscriber import Channel

from ..deployment import Deployment, deployed

NAME = "denzel:reply:test"


class Network:
    """Lies between Redis and its clients, and can be cut."""

    def __init__(self, path: Path) -> None:
        self.port = 0
        self._path = path
        self._carrying: set[asyncio.Task[object]] = set()
        self._writers: list[asyncio.StreamWriter] = []

    def cut(self) -> None:
        """Carry nothing more over the connections there are; nobody is told."""
        for task in self._carrying:
            task.cancel()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Carry new connections, until the block ends."""
        server = await asyncio.start_server(self._connect, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield
        finally:
            self.cut()
            server.close()
            for writer in self._writers:
                writer.close()

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        from_redis, to_redis = await asyncio.open_unix_connection(str(self._path))
        self._writers += [writer, to_redis]
        for source, sink in ((reader, to_redis), (from_redis, writer)):
            task: asyncio.Task[object] = asyncio.create_task(self._carry(source, sink))
            self._carrying.add(task)

    @staticmethod
    async def _carry(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        while data := await source.read(65536):
            sink.write(data)
            await sink.drain()


async def _hears_after_a_cut(deployment: Deployment) -> list[bytes]:
    network = Network(deployment.redis_socket)
    opened: asyncio.Queue[None] = asyncio.Queue()
    heard: asyncio.Queue[bytes] = asyncio.Queue()
    client = redis.Redis.from_url(deployment.environment["REDIS_URL"])
    async with network.running():
        channel = Channel(
            f"redis://127.0.0.1:{network.port}/0", (NAME,), lambda: opened.put(None),
            lambda name, data: heard.put_nowait(data),
        )  # fmt: skip
        await channel.start()
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
            await channel.stop()
            client.close()


def test_a_connection_that_ends_without_a_word_is_noticed(tmp_path: Path) -> None:
    with deployed(tmp_path, None) as deployment:
        deployment.start_redis()
        assert asyncio.run(_hears_after_a_cut(deployment)) == [b"before", b"after"]
