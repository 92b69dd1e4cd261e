"""Many requests at the same moment, over connections that stay open."""

from __future__ import annotations

import asyncio
import json
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
