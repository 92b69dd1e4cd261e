"""An API process's connection to Redis for what every request needs.

redis-py's asynchronous client costs an API process as much as all of HTTP does.  A request needs
one script on its way to a worker and one message on a channel back, and for those this is enough.
Protocol: RESP3 (redis.io/docs/latest/develop/reference/protocol-spec): replies come in the order
of their commands, and what is published on channels comes between them, marked as pushed.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, cast

import hiredis
from redis.exceptions import (
    ConnectionError,
    NoScriptError,
    OutOfMemoryError,
    ReadOnlyError,
    ResponseError,
)

from app.runtime.settings import RedisAddress
from app.runtime.store.connection_classes import DEMOTED, connected_socket
from app.runtime.store.lua_scripts import Argument, load_script, script_digest

SCRIPTS = (
    "abandon_sync", "accept", "accept_once", "cancel", "enqueue_sync", "find", "note_trace",
    "time_out_sync", "watch",
)  # fmt: skip
"""Scripts that are run over such a connection (``store/lua``).

They are loaded first: one that Redis does not know is sent again, behind what has followed it."""
QUIET_SECONDS = 10.0
PONG_SECONDS = 5.0
LOOK_SECONDS = 1.0
MOST_UNSENT_BYTES = 64 * 2**20
"""What may wait to be sent while Redis reads nothing."""

_INCOMPLETE = object()

log = logging.getLogger("denzel.redis")


@dataclass(eq=False, slots=True)
class _Sent:
    """A command under way, when it was sent by the event loop's clock, and the script it runs."""

    reply: asyncio.Future[Any]
    at: float
    script: tuple[str, Sequence[Argument]] | None = None


class Connection(asyncio.Protocol):
    """A connection to Redis; ``heard(channel, data)`` is called for each message."""

    def __init__(self, heard: Callable[[bytes, bytes], None], database: int = 0) -> None:
        self._heard = heard
        self._database = str(database)
        self._loop = asyncio.get_running_loop()
        self._reader = hiredis.Reader(replyError=reply_error, notEnoughData=_INCOMPLETE)
        self._transport: asyncio.Transport | None = None
        self._sent: deque[_Sent] = deque()
        self._received_at = self._loop.time()
        self._ended: asyncio.Future[None] = self._loop.create_future()

    @classmethod
    async def connect(
        cls, address: RedisAddress, names: tuple[str, ...], heard: Callable[[bytes, bytes], None]
    ) -> Connection:
        """Return a connection that listens on the channels called ``names``.

        Raises RedisError and OSError.
        """
        connection = cls(heard, address.database)
        loop = asyncio.get_running_loop()
        arguments = await connected_socket(address)
        if address.socket_path:
            await loop.create_unix_connection(lambda: connection, **arguments)
        else:
            await loop.create_connection(lambda: connection, **arguments)
        try:
            await connection._greet(address, names)
        except BaseException:
            connection.close()
            raise
        return connection

    async def _greet(self, address: RedisAddress, names: tuple[str, ...]) -> None:
        for command in greeting(address):
            await self.send(*command)
        loading = [self.send("SCRIPT", "LOAD", load_script(name)) for name in SCRIPTS]
        await asyncio.gather(*loading)
        assert self._transport is not None
        if names:
            # It has no reply but pushed ones, which all come before the next command's.
            subscribe = hiredis.pack_command(("SUBSCRIBE", *names))  # type: ignore[arg-type]
            self._transport.write(subscribe)
        await self.send("PING")

    def send(self, *command: Argument) -> asyncio.Future[Any]:
        """Send a command; the future is its reply.

        It raises OutOfMemoryError or ResponseError as Redis does, and ConnectionError when the
        connection ends first.
        """
        reply = self._loop.create_future()
        self._send(_Sent(reply, self._loop.time()), command)
        return reply

    def run(self, name: str, *arguments: Argument) -> asyncio.Future[Any]:
        """Run the script ``lua/NAME.lua``; the future is its answer, as :meth:`send`'s is."""
        reply = self._loop.create_future()
        # What a script's channels end in: unlike keys, they are common to all databases.
        arguments = ("1", self._database, *arguments)
        sent = _Sent(reply, self._loop.time(), (name, arguments))
        self._send(sent, ("EVALSHA", script_digest(name), *arguments))
        return reply

    def _send(self, sent: _Sent, command: Sequence[Argument]) -> None:
        assert self._transport is not None  # there is none before connection_made
        if self._ended.done():
            sent.reply.set_exception(ConnectionError("The connection to Redis has ended"))
        elif self._transport.get_write_buffer_size() > MOST_UNSENT_BYTES:
            sent.reply.set_exception(ConnectionError("Redis does not read what it is sent"))
        else:
            self._sent.append(sent)
            # hiredis's stub has it that a command is one word.
            self._transport.write(hiredis.pack_command(command))  # type: ignore[arg-type]

    async def watch(self) -> None:
        """Watch the connection until it ends, and raise ConnectionError then.

        It may end without a word to this side, as when a machine fails: it is given up when
        Redis owes an answer for PONG_SECONDS, and asked for one after QUIET_SECONDS of silence.
        """
        while True:
            await asyncio.wait([self._ended], timeout=LOOK_SECONDS)
            if self._ended.done():
                raise ConnectionError("Redis has closed the connection")
            now = self._loop.time()
            if self._sent and now - self._sent[0].at > PONG_SECONDS:
                raise ConnectionError(f"Redis has not answered for {PONG_SECONDS:g} s")
            if not self._sent and now - self._received_at > QUIET_SECONDS:
                self.send("PING").add_done_callback(_ignore)

    def close(self) -> None:
        """Close the connection; commands without a reply raise ConnectionError."""
        if self._transport is not None:
            self._transport.abort()
        self._end()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is no subclass of it

    def connection_lost(self, exc: BaseException | None) -> None:
        """Tell everyone who waits."""
        self._end()

    def _end(self) -> None:
        if self._ended.done():
            return
        self._ended.set_result(None)
        while self._sent:
            reply = self._sent.popleft().reply
            if not reply.done():
                reply.set_exception(ConnectionError("The connection to Redis has ended"))

    def data_received(self, data: bytes) -> None:
        """Hand out replies and messages."""
        self._received_at = self._loop.time()
        self._reader.feed(data)
        while (item := self._reader.gets()) is not _INCOMPLETE:
            if isinstance(item, hiredis.PushNotification):
                self._push(item)
                continue
            self._answer(self._sent.popleft(), item)

    def _answer(self, sent: _Sent, item: Any) -> None:
        if sent.script is not None and isinstance(item, NoScriptError):
            name, arguments = sent.script  # somebody had Redis forget its scripts
            again = ("EVAL", load_script(name), *arguments)
            self._send(_Sent(sent.reply, self._loop.time()), again)
        elif sent.reply.done():
            return  # whoever asked has gone
        elif isinstance(item, ReadOnlyError):
            sent.reply.set_exception(ConnectionError(DEMOTED))
            self.close()
        elif isinstance(item, Exception):
            sent.reply.set_exception(item)
        else:
            sent.reply.set_result(item)

    def _push(self, item: list[Any]) -> None:
        if item[0] != b"message":
            return
        try:
            self._heard(item[1], item[2])
        except Exception:  # what one message does must not keep the next from being heard
            log.exception("A message on %s could not be used", item[1].decode(errors="replace"))


def greeting(address: RedisAddress) -> list[tuple[str, ...]]:
    """Return the first commands on a connection to Redis."""
    hello: tuple[str, ...] = ("HELLO", "3")
    if address.password:
        hello += ("AUTH", address.username or "default", address.password)
    return [hello, ("SELECT", str(address.database))] if address.database else [hello]


ERRORS = {
    "OOM ": OutOfMemoryError,
    "NOSCRIPT ": NoScriptError,
    "READONLY ": ReadOnlyError,
}


def reply_error(text: str) -> Exception:
    """Return what Redis reports as the exception that redis-py makes of it."""
    for mark, kind in ERRORS.items():
        if text.startswith(mark):
            return kind(text)
    return ResponseError(text)


def _ignore(reply: asyncio.Future[Any]) -> None:
    """Take note of an error that is told elsewhere; asyncio would log it."""
    if not reply.cancelled():
        reply.exception()
