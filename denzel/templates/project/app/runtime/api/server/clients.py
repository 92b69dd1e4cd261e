"""gunicorn's worker for the API: uvicorn, with limits for clients that uvicorn has none for.

A client may be slow in three ways: with its request's head, with its body, and with taking the
answer.  Each ties up a connection and what is buffered for it, so a connection that moves less
than a trickle for CLIENT_TIMEOUT seconds is closed.  A head is not only limited in time but
also in size.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
from collections.abc import Sized
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from http import HTTPStatus
from typing import Any, cast

import httptools
import orjson
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn_worker import UvicornWorker

TRICKLE = 4096
"""Bytes a second that a client must take or send in the long run."""
MAX_HEADERS = 100
MAX_OFFERS = 10
"""Requests that offer another protocol, sent all at once: each is a step deeper into the parser."""
HTTP_VERSIONS = ("1.1", "1.0")
"""Those whose requests look the way the parser reads them; it lets 0.9 and 2.0 pass."""
LAST_CALL = 0.05
"""Seconds in which the ending process reads what its clients sent before they could know of it."""
PARENT_SECONDS = 0.5
LOOKS = 10
"""How often a connection is looked at within the time it may stall."""


class HeadTooLarge(Exception):
    """Ends the parsing of a head that is longer than allowed."""


class UnknownVersion(Exception):
    """Ends the parsing of a request in a version of HTTP that is not spoken here."""


@dataclass
class Clients:
    """The connections of one API process, and what they may cost it."""

    patience: float
    max_header_bytes: int
    max_connections: int
    connected: set[ClientProtocol] = field(default_factory=set)

    async def watch(self) -> None:
        """Close connections that stall, for as long as the process lives."""
        interval = self.patience / LOOKS
        while True:
            await asyncio.sleep(interval)
            for client in list(self.connected):
                client.look(interval, self.patience)


class InTurn(FlowControl):
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


class OneWrite:
    """A connection as one response sees it: the head waits for the body that follows it.

    Each write is a system call, and wakes the client.
    """

    __slots__ = ("_has_begun", "_head", "_transport")

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
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
        """Write what is left, then close the connection."""
        self.flush()
        self._transport.close()

    def is_closing(self) -> bool:
        """Tell whether the connection is closed, or about to be."""
        return self._transport.is_closing()


class ClientProtocol(HttpToolsProtocol):
    """One client's connection; how it moves is looked at now and then."""

    def __init__(self, *args: Any, clients: Clients, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._clients = clients
        self._task: asyncio.Task[None] | None = None
        self._response: OneWrite | None = None
        self._running: RequestResponseCycle | None = None
        self._is_refused = False
        self._is_ending = False
        self._refusal: tuple[int, str] = (400, "The request is not valid HTTP")
        self._data = b""
        self._offers = 0
        self._steps = 0
        self._unparsed = 0
        self._has_head = False
        self._header_count = 0
        self._body_bytes = 0
        self._body_seen = 0
        self._unsent = 0
        self._credit: float | None = None
        self._last_cycle: RequestResponseCycle | None = None

    # What comes and goes

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the connection, or refuse one too many."""
        super().connection_made(cast(asyncio.Transport, transport))
        self.flow = InTurn(self.transport, self.pipeline)
        self._clients.connected.add(self)
        if len(self._clients.connected) > self._clients.max_connections:
            self.transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection, and stop what only its client waits for."""
        self._clients.connected.discard(self)
        super().connection_lost(exc)
        if self._running is not None and self._task is not None:
            self._running.disconnected = True  # uvicorn tells the request that came last
            self._task.cancel()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        self._running = cycle
        if self._is_ending and not self.pipeline:
            cycle.keep_alive = False
        self._response = OneWrite(self.transport)
        cycle.transport = cast(asyncio.Transport, self._response)
        self._task = self.loop.create_task(cycle.run_asgi(partial(_until_gone, cycle, app)))
        self._task.add_done_callback(self.tasks.discard)
        self.tasks.add(self._task)

    def on_response_complete(self) -> None:
        """Send what is left of a response, then go on with the next request."""
        if self._response is not None:
            self._response.flush()
        if self._is_refused and not self.pipeline:
            self._end_with_refusal()
        super().on_response_complete()

    def shutdown(self) -> None:
        """Hang up after the request under way, or the one that may have been sent already."""
        self._is_ending = True
        self.loop.call_later(LAST_CALL, super().shutdown)

    # How large a head may be

    def data_received(self, data: bytes) -> None:
        """Parse what came, and refuse a line of the head that has no end."""
        if self._is_refused:
            return
        steps = self._steps
        self._data, self._offers = data, 0
        super().data_received(data)
        self._data = b""
        if self._steps != steps:
            self._unparsed = 0
            return
        self._unparsed += len(data)  # the parser keeps it until the line is complete
        if self._unparsed > self._clients.max_header_bytes and not self.transport.is_closing():
            self._refuse(431, "A header")
            self.send_400_response("")

    def on_message_begin(self) -> None:
        """Begin with a request's head."""
        self._has_head = False
        self._header_count = 0
        super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        """Take a piece of the request's target; raises HeadTooLarge."""
        super().on_url(url)
        self._steps += 1
        if len(self.url) > self._clients.max_header_bytes:
            self._refuse(414, "The request's target")
            raise HeadTooLarge

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header; raises HeadTooLarge.

        What follows a body in chunks looks alike, but counts for nothing (RFC 9110, 6.5.1).
        """
        self._steps += 1
        self._header_count += 1
        if len(name) + len(value) > self._clients.max_header_bytes:
            self._refuse(431, "A header")
            raise HeadTooLarge
        if self._header_count > MAX_HEADERS:
            self._refusal = (431, f"A request may have {MAX_HEADERS} headers at most")
            raise HeadTooLarge
        if not self._has_head:
            super().on_header(name, value)

    def _refuse(self, status: int, what: str) -> None:
        limit = self._clients.max_header_bytes
        self._refusal = (status, f"{what} may have {limit} bytes at most")

    def send_400_response(self, msg: str) -> None:
        """Refuse a request that cannot be read, when those before it are answered."""
        if self.pipeline and self.cycle.more_body:
            self.pipeline.popleft()  # the last that came: it is the one, and will not be run
        running = self._running
        if running is None or running.response_complete or running.more_body:
            self._end_with_refusal()
        else:
            self._is_refused = True

    def _end_with_refusal(self) -> None:
        """Answer in the form of all errors, and hang up."""
        if self.transport.is_closing():
            return
        status, description = self._refusal
        title = HTTPStatus(status).phrase
        body = orjson.dumps({"title": title, "description": description})
        head = (
            f"HTTP/1.1 {status} {title}\r\ncontent-type: application/json\r\n"
            f"content-length: {len(body)}\r\nconnection: close\r\n\r\n"
        )
        self.transport.write(head.encode() + body)
        self.transport.close()

    # Offers of another protocol, as Java's client makes with every request

    def on_headers_complete(self) -> None:
        """Begin the request, unless it has to be read again; raises UnknownVersion."""
        if self.parser.get_http_version() not in HTTP_VERSIONS:
            raise UnknownVersion
        self._has_head = True
        if not self.parser.should_upgrade():
            super().on_headers_complete()

    def on_message_complete(self) -> None:
        """Take note that the request is complete."""
        self._steps += 1
        if not self.parser.should_upgrade():
            super().on_message_complete()

    def _unsupported_upgrade_warning(self) -> None:
        """Read a request again without its offer: the parser takes its body for the other protocol.

        uvicorn calls this while it handles the parser's exception, which holds the offset at
        which the head ended.
        """
        upgrade = sys.exception()
        assert isinstance(upgrade, httptools.HttpParserUpgrade)
        method, version = self.parser.get_method(), self.parser.get_http_version().encode()
        self._offers += 1
        if method == b"CONNECT" or self._offers > MAX_OFFERS:
            self.send_400_response("")
            return
        lines = [b"%b %b HTTP/%b" % (method, self.url, version)]
        lines += [b"%b: %b" % header for header in self.headers if header[0] != b"upgrade"]
        rest = self._data[upgrade.args[0] :]
        self._data = b"\r\n".join([*lines, b"", b""]) + rest
        self.parser = httptools.HttpRequestParser(self)
        super().data_received(self._data)  # which may come here again, for the next request

    # How slow a client may be

    def on_body(self, body: bytes) -> None:
        """Take a piece of the request's body."""
        self._steps += 1
        self._body_bytes += len(body)
        super().on_body(body)

    def look(self, elapsed: float, patience: float) -> None:
        """Close the connection if it has stalled; ``elapsed`` seconds since the last look.

        While something is to move, time uses up credit and bytes restore it, up to
        ``patience`` seconds.  Of a head, only its end counts as a move.
        """
        cycle = self._running
        unsent = self.transport.get_write_buffer_size()
        running = None if cycle is None or cycle.response_complete else cycle
        if running is not None and not running.more_body and unsent == 0:
            self._credit = None  # the client waits for us
            return
        moved = self._body_bytes - self._body_seen if running is not None else 0
        moved += max(0, self._unsent - unsent)
        self._body_seen, self._unsent = self._body_bytes, unsent
        if self._credit is None or cycle is not self._last_cycle:
            self._last_cycle, self._credit = cycle, patience
            return
        self._credit = min(patience, self._credit - elapsed + moved / TRICKLE)
        if self._credit <= 0:
            self.transport.abort()


async def _until_gone(
    cycle: RequestResponseCycle, app: Any, scope: Any, receive: Any, send: Any
) -> None:
    """Run the application; that its client has gone is no error of it."""
    try:
        await app(scope, receive, send)
    except asyncio.CancelledError:
        if not cycle.disconnected:
            raise


class ClientWorker(UvicornWorker):
    """Runs the API and looks after its clients' connections."""

    CONFIG_KWARGS = {  # noqa: RUF012 - uvicorn-worker's own name and kind
        "loop": "uvloop",
        "ws": "none",
        "lifespan": "on",
        "proxy_headers": False,
        "server_header": False,
        "headers": [("server", "denzel"), ("x-content-type-options", "nosniff")],
    }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        limit = self.cfg.limit_request_field_size
        self._clients = Clients(self.cfg.keepalive, limit, self.cfg.worker_connections)
        self.config.http = cast(Any, partial(ClientProtocol, clients=self._clients))
        self.config.timeout_graceful_shutdown = self.cfg.graceful_timeout
        # Anyone can send what is no HTTP, as often as they like.
        logging.getLogger("uvicorn.error").addFilter(_is_worth_a_line)

    async def _serve(self) -> None:
        watching = [
            asyncio.create_task(self._clients.watch()),
            asyncio.create_task(self._end_with_parent()),
        ]
        try:
            await super()._serve()
        finally:
            for task in watching:
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await task

    async def _end_with_parent(self) -> None:
        """End when gunicorn's main process was killed, as its own workers do.

        The next main process could not listen on a port that this one still holds.
        """
        while os.getppid() == self.ppid:
            await asyncio.sleep(PARENT_SECONDS)
        self.log.warning("The main process has ended; this one ends, too")
        signal.raise_signal(signal.SIGTERM)


def _is_worth_a_line(record: logging.LogRecord) -> bool:
    return not record.getMessage().startswith("Invalid HTTP request")
