"""How responses leave a connection, and when it reads on."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sized

from uvicorn.protocols.http.flow_control import FlowControl


class PipelineFlowControl(FlowControl):
    """Reads no further requests while some wait for their turn.

    uvicorn reads on after each answer.  A client that asks quicker than it is answered would fill
    the memory with requests, each of which takes 2 KB there.
    """

    def __init__(self, transport: asyncio.Transport, waiting: Sized) -> None:
        super().__init__(transport)
        self._waiting = waiting

    def resume_reading(self) -> None:
        """Read on, unless requests wait: only the last of them can lack a part of its body."""
        if self.read_paused and not self._waiting:
            super().resume_reading()


class ResponseWriter:
    """Writes one response to its connection: the head waits for the body that follows it.

    Each write is a system call, and wakes the client.  ``hang_up`` ends the connection.
    """

    __slots__ = ("_hang_up", "_has_begun", "_head", "_transport")

    def __init__(self, transport: asyncio.Transport, hang_up: Callable[[], None]) -> None:
        self._transport = transport
        self._hang_up = hang_up
        self._head = b""
        self._has_begun = False

    def write(self, data: bytes) -> None:
        """Write, but for the head."""
        if self._head:
            head, self._head = self._head, b""
            self._transport.writelines([head, data])
        elif self._has_begun or data.startswith(b"HTTP/1.1 100 "):
            self._transport.write(data)
        else:
            self._head, self._has_begun = data, True

    def flush(self) -> None:
        """Write a head that no body followed."""
        if self._head:
            self.write(b"")

    def close(self) -> None:
        """Write what is left, then end the connection."""
        self.flush()
        self._hang_up()

    def is_closing(self) -> bool:
        """Tell whether the connection is closed, or about to be."""
        return self._transport.is_closing()
