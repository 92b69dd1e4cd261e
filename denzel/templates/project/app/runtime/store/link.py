"""One connection to Redis for what every request needs: commands out, replies and messages in.

redis-py's asynchronous client costs an API process as much as all of HTTP does.  A request
needs one command on its way to a worker and one message on a channel back, and for those this
is enough; everything else goes through redis-py.  Protocol: RESP3
(redis.io/docs/latest/develop/reference/protocol-spec): replies come in the order of their
commands, and what is said on channels comes between them, marked as pushed.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, cast

import hiredis
from redis.asyncio.connection import parse_url
from redis.exceptions import ConnectionError, OutOfMemoryError, ResponseError

QUIET_SECONDS = 10.0
PONG_SECONDS = 5.0
LOOK_SECONDS = 1.0

_INCOMPLETE = object()

log = logging.getLogger("denzel.link")


@dataclass(eq=False, slots=True)
class _Sent:
    """A command under way, and when it was sent by the event loop's clock."""

    reply: asyncio.Future[Any]
    at: float


class Link(asyncio.Protocol):
    """A connection to Redis; ``heard(channel, data)`` is called for each message."""

    def __init__(self, heard: Callable[[bytes, bytes], None]) -> None:
        self._heard = heard
        self._loop = asyncio.get_running_loop()
        self._reader = hiredis.Reader(replyError=reply_error, notEnoughData=_INCOMPLETE)
        self._transport: asyncio.Transport | None = None
        self._sent: deque[_Sent] = deque()
        self._received_at = self._loop.time()
        self._ended: asyncio.Future[None] = self._loop.create_future()

    @classmethod
    async def connect(
        cls, redis_url: str, names: tuple[str, ...], heard: Callable[[bytes, bytes], None]
    ) -> Link:
        """Return a link that listens on the channels called ``names``.

        ``redis_url`` is a redis:// or unix:// URL.  Raises RedisError and OSError.
        """
        link = cls(heard)
        parts: dict[str, Any] = dict(parse_url(redis_url))
        loop = asyncio.get_running_loop()
        if "path" in parts:
            await loop.create_unix_connection(lambda: link, parts["path"])
        else:
            host, port = parts.get("host", "127.0.0.1"), parts.get("port", 6379)
            await loop.create_connection(lambda: link, host, port)
        try:
            await link._greet(parts, names)
        except BaseException:
            link.close()
            raise
        return link

    async def _greet(self, parts: dict[str, Any], names: tuple[str, ...]) -> None:
        for command in greeting(parts):
            await self.send(*command)
        self._write("SUBSCRIBE", *names)  # it has no reply but pushed ones,
        await self.send("PING")  # which all come before this one's

    def send(self, *command: str | bytes | float) -> asyncio.Future[Any]:
        """Send a command; the future is its reply.

        It raises OutOfMemoryError or ResponseError as Redis does, and ConnectionError when the
        connection ends first.
        """
        reply = self._loop.create_future()
        if self._ended.done():
            reply.set_exception(ConnectionError("The connection to Redis has ended"))
        else:
            self._sent.append(_Sent(reply, self._loop.time()))
            self._write(*command)
        return reply

    def _write(self, *command: str | bytes | float) -> None:
        assert self._transport is not None  # there is no link before connection_made
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
            reply = self._sent.popleft().reply
            if reply.done():
                continue  # whoever asked has gone
            if isinstance(item, Exception):
                reply.set_exception(item)
            else:
                reply.set_result(item)

    def _push(self, item: list[Any]) -> None:
        if item[0] != b"message":
            return
        try:
            self._heard(item[1], item[2])
        except Exception:  # what one message does must not keep the next from being heard
            log.exception("A message on %s could not be used", item[1].decode(errors="replace"))


def greeting(parts: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """Return the first commands on a connection to the Redis whose URL has these ``parts``."""
    hello: tuple[str, ...] = ("HELLO", "3")
    if "password" in parts:
        hello += ("AUTH", parts.get("username", "default"), parts["password"])
    return [hello, ("SELECT", str(parts["db"]))] if parts.get("db") else [hello]


def reply_error(text: str) -> Exception:
    """Return what Redis reports as the exception that redis-py makes of it."""
    return OutOfMemoryError(text) if text.startswith("OOM ") else ResponseError(text)


def _ignore(reply: asyncio.Future[Any]) -> None:
    """Take note of an error that is told elsewhere; asyncio would log it."""
    if not reply.cancelled():
        reply.exception()
