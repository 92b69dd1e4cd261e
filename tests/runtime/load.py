"""Many requests at the same moment, over connections that stay open."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Answer:
    """What one request was answered."""

    status: int
    headers: dict[str, str]
    body: Any


def post_all(
    port: int, bodies: Sequence[Any], connections: int, prefer: str = "wait=60"
) -> list[Answer]:
    """POST each body to ``/predict``; return the answers in the bodies' order."""
    return asyncio.run(_post_all(port, bodies, connections, prefer))


async def _post_all(port: int, bodies: Sequence[Any], connections: int, prefer: str) -> list[Any]:
    answers: list[Any] = [None] * len(bodies)
    left = iter(enumerate(bodies))

    async def client() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for index, body in left:
            answers[index] = await _post(reader, writer, body, prefer)
        writer.close()

    async with asyncio.timeout(120):
        await asyncio.gather(*(client() for _ in range(connections)))
    return answers


async def _post(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, body: Any, prefer: str
) -> Answer:
    data = json.dumps(body).encode()
    head = f"POST /predict HTTP/1.1\r\nHost: x\r\nPrefer: {prefer}\r\n"
    writer.write(f"{head}Content-Length: {len(data)}\r\n\r\n".encode() + data)
    lines = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
    pairs = (line.split(": ", 1) for line in lines[1:] if line)
    headers = {name.lower(): value for name, value in pairs}
    text = await reader.readexactly(int(headers["content-length"]))
    return Answer(int(lines[0].split()[1]), headers, json.loads(text))


class SteadyLoad:
    """Clients that ask for the same prediction again and again, in a thread, until left."""

    def __init__(self, port: int, body: Any, clients: int) -> None:
        self.answers: list[Answer] = []
        self.failures: list[str] = []
        self._port = port
        self._body = body
        self._clients = clients
        self._is_over = False
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()))

    def __enter__(self) -> SteadyLoad:
        """Begin to ask."""
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Let each client have its last answer."""
        self._is_over = True
        self._thread.join()

    def seen(self) -> list[Any]:
        """Return the different bodies of the answers, in the order they came first."""
        found: list[Any] = []
        for answer in list(self.answers):
            if answer.body not in found:
                found.append(answer.body)
        return found

    async def _run(self) -> None:
        await asyncio.gather(*(self._ask_on() for _ in range(self._clients)))

    async def _ask_on(self) -> None:
        """Ask on one connection as long as the server keeps it, then on another one."""
        while not self._is_over:
            try:
                reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
                keeps = True
                while keeps and not self._is_over:
                    answer = await _post(reader, writer, self._body, "wait=60")
                    self.answers.append(answer)
                    keeps = answer.headers.get("connection", "").lower() != "close"
                writer.close()
            except (OSError, EOFError) as error:
                self.failures.append(repr(error))
                await asyncio.sleep(0.1)
