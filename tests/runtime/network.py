"""A network between Redis and its clients, which tests cut."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path


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
