"""A plain connection to Redis for the worker's hot path: commands out, replies and calls in.

The blocking counterpart of ``link.py``, which has the reasons and the protocol.
"""

from __future__ import annotations

import socket
from contextlib import suppress
from typing import Any

import hiredis
from redis.asyncio.connection import parse_url
from redis.exceptions import ConnectionError

from app.runtime.store.link import greeting, reply_error

READ_BYTES = 256 * 1024

INCOMPLETE = object()
"""Stands for a reply that has not come in whole yet."""


class Wire:
    """A connection to Redis; each step takes ``timeout`` seconds at most.

    Every method raises OSError and redis-py's ConnectionError when the connection fails.
    """

    def __init__(self, redis_url: str, timeout: float) -> None:
        parts: dict[str, Any] = dict(parse_url(redis_url))
        self._reader = hiredis.Reader(replyError=reply_error, notEnoughData=INCOMPLETE)
        self._socket = _connect(parts, timeout)
        try:
            for command in greeting(parts):
                self.ask(*command)
        except BaseException:
            self.close()
            raise

    def fileno(self) -> int:
        """Return the connection's number, for an event loop to watch."""
        return self._socket.fileno()

    def send(self, *command: str | bytes | float) -> None:
        """Send a command."""
        # hiredis's stub has it that a command is one word.
        self._socket.sendall(hiredis.pack_command(command))  # type: ignore[arg-type]

    def receive(self) -> None:
        """Wait for something to come, and take it in."""
        data = self._socket.recv(READ_BYTES)
        if not data:
            raise ConnectionError("Redis has closed the connection")
        self._reader.feed(data)

    def next(self) -> Any:
        """Return the next reply, exception or pushed message that has come in, or INCOMPLETE."""
        return self._reader.gets()

    def reply(self) -> Any:
        """Wait for the next reply, pushed messages left aside; raises what Redis reports."""
        while True:
            item = self.next()
            if item is INCOMPLETE:
                self.receive()
            elif isinstance(item, Exception):
                raise item
            elif not isinstance(item, hiredis.PushNotification):
                return item

    def ask(self, *command: str | bytes | float) -> Any:
        """Send a command and return its reply; raises what Redis reports."""
        self.send(*command)
        return self.reply()

    def hang_up(self) -> None:
        """End the connection; whoever watches it for something to come is told."""
        with suppress(OSError):  # it has ended already
            self._socket.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """End the connection and free its number."""
        self._socket.close()


def _connect(parts: dict[str, Any], timeout: float) -> socket.socket:
    if "path" not in parts:
        address = (parts.get("host", "127.0.0.1"), parts.get("port", 6379))
        connected = socket.create_connection(address, timeout)
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return connected
    connected = socket.socket(socket.AF_UNIX)
    try:
        connected.settimeout(timeout)
        connected.connect(parts["path"])
    except BaseException:
        connected.close()
        raise
    return connected
