"""One client's connection: uvicorn's protocol, stricter and with limits.

A response that ends a connection whose client still sends is followed by a moment in which what
comes is dropped: closing at once would reset the connection, and the client would not get to
read the response (RFC 9112, section 9.6).
"""

from __future__ import annotations

import asyncio
import math
import sys
from collections.abc import Callable
from functools import partial
from typing import Any, cast

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from app.runtime.api.answer_log import log_answer
from app.runtime.api.server.flow import PipelineFlowControl, ResponseWriter
from app.runtime.api.server.head import Limits, check_head, check_header, check_target, too_long
from app.runtime.api.server.refusal import NOT_HTTP, Refusal, Refused
from app.runtime.api.server.stalls import Progress, bytes_taken
from app.runtime.api.server.upgrade import MAX_OFFERS, without_offer

LAST_CALL = 0.05
"""Seconds in which the ending process reads what its clients sent before they could know of it."""
ENDING_SECONDS = 5.0
"""How long the ending process bears a client that stalls, which could have it killed in the end."""
ENDING_LOOK_SECONDS = 1.0
LINGER_SECONDS = 10.0
"""How long a refused client's connection is kept for it to read the refusal."""
LINGER_BYTES = 2**20
"""How much of what is no body is dropped meanwhile.  Of a body it is any number: most clients read
no answer before they have sent all of it."""
PROBE_SECONDS = 0.1
"""How long after a client said that it sends no more it is first asked whether it is there.

Soon, because most of those clients have gone: what nobody waits for is not to be predicted."""
PROBE_AGAIN_SECONDS = 0.1
"""After how long it is asked again, to see what became of that; then twice as long each time."""
ENDED = Refusal(
    503,
    "The API was stopped before there was an answer; what was asked for may be done all the same",
    "API stopped",
)
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


class ClientProtocol(HttpToolsProtocol):
    """One client's connection."""

    def __init__(
        self,
        *args: Any,
        limits: Limits,
        connected: set[ClientProtocol],
        cors_headers: Callable[[str], str],
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        self._limits = limits
        self._connected = connected
        self._cors_headers = cors_headers
        self._task: asyncio.Task[None] | None = None
        self._response: ResponseWriter | None = None
        self._running: RequestResponseCycle | None = None
        self._refusal: Refusal | None = None  # to be sent when those before it are answered
        self._is_ending = False
        self._is_lingering = False
        self._to_drop = math.inf
        self._has_eof = False
        self._data = b""
        self._offers = 0
        self._steps = 0
        self._unparsed = 0
        self._has_head = False
        self._header_count = 0
        self._body_bytes = 0
        self._progress = Progress()
        self._longest_stall = limits.timeout
        self._is_lost = False

    # A connection's beginning and end

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the connection, or refuse one too many."""
        super().connection_made(cast(asyncio.Transport, transport))
        self.flow = PipelineFlowControl(self.transport, self.pipeline)
        self._connected.add(self)
        if len(self._connected) > self._limits.max_connections:
            self.transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection, and stop what only its client waits for."""
        self._is_lost = True
        self._connected.discard(self)
        super().connection_lost(exc)
        self._abandon()

    def eof_received(self) -> bool:  # type: ignore[override] # asyncio's own type
        """Answer what a client asked that sends no more; return whether to keep the connection.

        It looks the same when the client has gone.  A write tells: it is answered with a reset.
        """
        if not self._is_busy() or self.cycle.more_body:
            return False
        if not self._has_eof:
            self._has_eof = self._is_ending = True
            self.cycle.keep_alive = False
            self.loop.call_later(PROBE_SECONDS, self._probe, PROBE_AGAIN_SECONDS)
        return True

    def _probe(self, then: float) -> None:
        """Send an interim response, which any client of HTTP/1.1 skips (RFC 9110, section 15.2).

        The next follows after ``then`` seconds; it fails if the client has gone.
        """
        cycle = self._running
        if not self._is_busy() or self.transport.is_closing() or cycle is None:
            return
        if not cycle.response_started and cycle.scope["http_version"] == "1.1":
            self.transport.write(CONTINUE)
        self.loop.call_later(then, self._probe, 2 * then)

    def _is_busy(self) -> bool:
        return self._running is not None and not self._running.response_complete

    def shutdown(self) -> None:
        """Hang up after the request under way, or the one that may have been sent already."""
        self._is_ending = True
        self.loop.call_later(LAST_CALL, super().shutdown)
        self._connected.discard(self)  # it is looked at more often from now on
        self._progress = Progress()
        self._longest_stall = min(ENDING_SECONDS, self._limits.timeout)
        self._look_again()

    def _look_again(self) -> None:
        if not self._is_lost:
            self.look(ENDING_LOOK_SECONDS)
            self.loop.call_later(ENDING_LOOK_SECONDS, self._look_again)

    def _hang_up(self) -> None:
        """End the connection after a response; its client may be sending the request still."""
        if self._has_eof and self._refusal is not None:
            return  # it is sent next
        if self._running is not None and self._running.more_body:
            self._linger(math.inf)
        else:
            self.transport.close()

    def _linger(self, to_drop: float) -> None:
        """Say that nothing more comes, and drop what the client sends for a moment."""
        self._is_lingering = True
        self._to_drop = to_drop
        self._unset_keepalive_if_required()
        if self._has_eof:
            self.transport.close()
            return
        self.transport.write_eof()
        self.pipeline.clear()
        self.flow.resume_reading()
        self.loop.call_later(LINGER_SECONDS, self.transport.close)

    def look(self, elapsed: float) -> None:
        """Close the connection if it has stalled; ``elapsed`` seconds since the last look."""
        has_unsent = self.transport.get_write_buffer_size() > 0
        cycle = self._running if self._is_busy() else None
        if cycle is not None and not cycle.more_body and not has_unsent:
            self._progress.rest()
            return
        received = self._body_bytes if cycle is not None else 0
        taken, longest = bytes_taken(self.transport), self._longest_stall
        if self._progress.has_stalled(self._running, received, taken, elapsed, longest):
            self.transport.abort()

    # Requests and responses

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        self._running = cycle
        if self._is_ending and not self.pipeline:
            cycle.keep_alive = False
        self._response = ResponseWriter(self.transport, self._hang_up)
        cycle.transport = cast(asyncio.Transport, self._response)
        self._task = self.loop.create_task(cycle.run_asgi(partial(_until_gone, cycle, app)))
        self._task.add_done_callback(self.tasks.discard)
        self.tasks.add(self._task)

    def on_response_complete(self) -> None:
        """Send what is left of a response, then go on with the next request."""
        if self._response is not None:
            self._response.flush()
        if self._refusal is not None and not self.pipeline:
            self._refuse(self._refusal)
        if not self._is_lingering:
            super().on_response_complete()

    def send_400_response(self, msg: str) -> None:
        """Refuse a request that cannot be read, when those before it are answered."""
        error = sys.exception()
        cause = error.__context__ if error is not None else None
        refusal = cause.refusal if isinstance(cause, Refused) else NOT_HTTP
        self._refuse_in_turn(refusal)

    def _refuse_in_turn(self, refusal: Refusal) -> None:
        if self._is_lingering or self.transport.is_closing():
            return
        self._refusal = refusal
        if self.pipeline and self.cycle.more_body:
            self.pipeline.popleft()  # the last that came: it is the one, and will not be run
        if self._running is None or not self._is_busy() or self._running.more_body:
            self._refuse(refusal)

    def _refuse(self, refusal: Refusal) -> None:
        """Answer in the form of all errors, and end the connection."""
        if self._is_lingering or self.transport.is_closing():
            return
        if self._is_busy():
            self._abandon()
        path = getattr(self, "url", b"").partition(b"?")[0].decode("latin-1")
        method = self.parser.get_method().decode() if path else "-"
        peer = self.client[0] if self.client else ""
        log_answer(method, path or "-", refusal.status, refusal.shown_title, client=peer)
        self.transport.write(refusal.encode(self._cross_origin_headers()))
        self._linger(math.inf if refusal.status == 413 else LINGER_BYTES)

    def _cross_origin_headers(self) -> str:
        """Return what lets the page that sent the request read why it was refused."""
        origin = next(
            (value for name, value in getattr(self, "headers", ()) if name == b"origin"), b""
        )
        return self._cors_headers(origin.decode("latin-1")) if origin else ""

    def _abandon(self) -> None:
        """Stop what only this connection's client waits for."""
        if self._running is not None and self._task is not None:
            self._running.disconnected = True  # uvicorn tells the request that came last
            self._task.cancel()

    # Parsing

    def data_received(self, data: bytes) -> None:
        """Parse what came, and refuse a line of the head that has no end."""
        if self._is_lingering:
            self._to_drop -= len(data)
            if self._to_drop < 0:
                self.transport.close()
        if self._refusal is not None or self._is_lingering:
            return
        steps = self._steps
        self._data, self._offers = data, 0
        super().data_received(data)
        self._data = b""
        if self._steps != steps:
            self._unparsed = 0
            return
        self._unparsed += len(data)  # the parser keeps it until the line is complete
        if self._unparsed > self._limits.max_header_bytes:
            self._refuse_in_turn(too_long(431, "A header", self._limits))

    def on_message_begin(self) -> None:
        """Begin with a request's head."""
        self._has_head = False
        self._header_count = 0
        super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        """Take a piece of the request's target; raises Refused."""
        super().on_url(url)
        self._steps += 1
        check_target(self.url, self._limits)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header; raises Refused.

        What follows a body in chunks looks alike, but counts for nothing (RFC 9110, 6.5.1).
        """
        self._steps += 1
        self._header_count += 1
        check_header(name, value, self._header_count, self._limits)
        if not self._has_head:
            super().on_header(name, value.strip(b" \t"))  # RFC 9110, section 5.5

    def on_headers_complete(self) -> None:
        """Begin the request, unless it has to be read again; raises Refused."""
        check_head(self.parser.get_http_version(), self.headers, self._limits)
        self._has_head = True
        if not self.parser.should_upgrade():
            super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Take a piece of the request's body."""
        self._steps += 1
        self._body_bytes += len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        """Take note that the request is complete."""
        self._steps += 1
        if not self.parser.should_upgrade():
            super().on_message_complete()

    def _unsupported_upgrade_warning(self) -> None:
        """Read a request again without its offer of another protocol.

        uvicorn calls this while it handles the parser's exception, which holds the offset at
        which the head ended.
        """
        upgrade = sys.exception()
        assert isinstance(upgrade, httptools.HttpParserUpgrade)
        method, version = self.parser.get_method(), self.parser.get_http_version()
        self._offers += 1
        if method == b"CONNECT" or self._offers > MAX_OFFERS:
            self._refuse_in_turn(NOT_HTTP)
            return
        head = without_offer(method, self.url, version, self.headers)
        self._data = head + self._data[upgrade.args[0] :]
        self.parser = httptools.HttpRequestParser(self)
        super().data_received(self._data)  # which may come here again, for the next request


async def _until_gone(
    cycle: RequestResponseCycle, app: Any, scope: Any, receive: Any, send: Any
) -> None:
    """Run the application; that its client has gone is no error of it.

    Nor is that the process ends, and waits no longer: its client is told.
    """
    if scope["http_version"] == "1.0":
        send = _without_chunks(cycle, send)
    try:
        await app(scope, receive, send)
    except asyncio.CancelledError:
        if cycle.disconnected:
            return
        if cycle.response_started:
            raise
        await _tell_of_end(scope, send)


async def _tell_of_end(scope: Any, send: Any) -> None:
    client = scope["client"][0] if scope["client"] else ""
    path = scope["raw_path"].decode("latin-1")
    log_answer(scope["method"], path, ENDED.status, ENDED.shown_title, client=client)
    headers = [(b"content-type", b"application/json"), (b"retry-after", b"5")]
    await send({"type": "http.response.start", "status": ENDED.status, "headers": headers})
    await send({"type": "http.response.body", "body": ENDED.body})


def _without_chunks(cycle: RequestResponseCycle, send: Any) -> Any:
    """Return a ``send`` that ends a response of unknown length with the connection.

    HTTP/1.0 knows no chunks (RFC 9112, section 6.1), in which uvicorn would send it.
    """

    async def send_plainly(message: Any) -> None:
        cycle.chunked_encoding = False
        cycle.expected_content_length = len(message.get("body", b""))
        await send(message)

    return send_plainly
