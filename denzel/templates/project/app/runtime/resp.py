"""Talk to Redis, or to a Sentinel, with a bare Python: RESP over a socket.

For what starts often, or before redis-py is installed.  Protocol: RESP2
(redis.io/docs/latest/develop/reference/protocol-spec).
"""

from __future__ import annotations

import socket
from typing import BinaryIO, Self

Reply = str | int | None | list["Reply"]


class RedisRefused(Exception):
    """Redis answered with an error; the text is its own."""


class RespConnection:
    """Commands and answers over a connected socket, which is closed with it.

    Raises OSError when Redis does not answer in time.
    """

    def __init__(self, connected: socket.socket) -> None:
        self._socket = connected
        self._answers: BinaryIO = connected.makefile("rb")

    def __enter__(self) -> Self:
        """Return the connection, which is closed on leaving."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the connection."""
        self.close()

    def close(self) -> None:
        """Close the connection."""
        self._answers.close()
        self._socket.close()

    def ask(self, *words: str, timeout: float | None = None) -> Reply:
        """Send a command and return its answer; ``timeout`` is for this one alone."""
        before = self._socket.gettimeout()
        if timeout is not None:
            self._socket.settimeout(timeout)
        encoded = [word.encode() for word in words]
        parts = [b"$%d\r\n%b\r\n" % (len(word), word) for word in encoded]
        self._socket.sendall(b"*%d\r\n" % len(words) + b"".join(parts))
        reply = self._read()
        self._socket.settimeout(before)
        return reply

    def _read(self) -> Reply:
        line = self._answers.readline()
        if not line.endswith(b"\r\n"):
            raise ConnectionError("Redis closed the connection")
        kind, text = line[:1], line[1:-2].decode(errors="replace")
        match kind:
            case b"-":
                raise RedisRefused(text)
            case b":":
                return int(text)
            case b"$":
                return self._read_text(int(text))
            case b"*":
                return None if int(text) < 0 else [self._read() for _ in range(int(text))]
            case _:
                return text

    def _read_text(self, length: int) -> str | None:
        if length < 0:
            return None
        data = self._answers.read(length + 2)
        if len(data) < length + 2:
            raise ConnectionError("Redis closed the connection")
        return data[:-2].decode()
