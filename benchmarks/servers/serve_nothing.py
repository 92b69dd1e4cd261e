"""The floor under the load generators: an HTTP answer as soon as a request is there, no more.

Argument: port.  The answer is the file ``answer.json``.  What a load generator measures here is
its own doing and the kernel's.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import cast

import uvloop

ANSWER_FILE = Path("answer.json")
HEAD = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n"
HEAD_END = b"\r\n\r\n"
LENGTH = b"content-length:"


class Nothing(asyncio.Protocol):
    """Answers each request whose body is complete; one at a time on a connection."""

    def __init__(self, answer: bytes) -> None:
        self._answer = answer

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin to read."""
        self._transport = cast(asyncio.WriteTransport, transport)
        self._buffer = b""

    def data_received(self, data: bytes) -> None:
        """Answer when the whole body is there."""
        self._buffer += data
        head, separator, body = self._buffer.partition(HEAD_END)
        length = int(head.lower().partition(LENGTH)[2].partition(b"\r\n")[0] or 0)
        if separator and len(body) >= length:
            self._buffer = b""
            self._transport.write(self._answer)


async def serve(port: int) -> None:
    """Serve until the process is ended."""
    body = ANSWER_FILE.read_bytes()
    answer = HEAD.format(len(body)).encode() + body
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Nothing(answer), "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1])))
