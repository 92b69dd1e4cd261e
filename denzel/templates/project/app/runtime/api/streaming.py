"""Answer with a prediction's pieces as they come: server-sent events.

Format: https://html.spec.whatwg.org/multipage/server-sent-events.html, section 9.2.6.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass, field
from functools import partial

import falcon.asgi
import orjson

from app.runtime.api.dispatch import ABANDONED_SECONDS, Dispatcher
from app.runtime.api.errors import ApiError, StreamCut, body_of
from app.runtime.api.waiting import Waiter
from app.runtime.contract import PIECE, Outcome, Request, new_task_id
from app.runtime.requests.errors import RequestError

EVENT_STREAM = "text/event-stream"
HEARTBEAT_SECONDS = 15.0
HEARTBEAT = b":\n\n"
"""A comment, which tells proxies that the connection is in use."""
MAX_UNREAD_BYTES = 4 * 2**20
"""How much waits for a client that is too slow: it still waits when the next piece comes."""


@dataclass(eq=False, slots=True)
class StreamWaiter(Waiter):
    """A client that takes the pieces of its prediction as they come."""

    pieces: list[bytes] = field(default_factory=list)
    received: int = 0
    unread: int = 0
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def can_be_sent_again(self) -> bool:
        """Whether the request may be predicted anew: nothing of its answer has been told yet."""
        return self.received == 0

    def answer(self, outcome: Outcome) -> None:
        """Take in a piece, or the end."""
        if outcome.state != PIECE:
            Waiter.answer(self, outcome)
            self.changed.set()
        elif not self.future.done():
            number, _, piece = outcome.body.partition(b" ")
            if int(number) != self.received:
                self.fail(StreamCut("A part of the answer was lost: Redis could not be reached"))
                return
            if self.unread >= MAX_UNREAD_BYTES:
                self.fail(StreamCut("The client reads too slowly"))
                return
            self.received += 1
            self.unread += len(piece)
            self.pieces.append(piece)
            self.changed.set()

    def fail(self, error: BaseException) -> None:
        """End the stream with an error."""
        Waiter.fail(self, error)
        self.changed.set()

    def give_up(self) -> None:
        """End the wait for the first piece: the time is up."""
        if self.can_be_sent_again:
            self.fail(TimeoutError())

    def take(self) -> bytes:
        """Return what has come since the last call, as events."""
        events = b"".join(b"data: %b\n\n" % piece for piece in self.pieces)
        self.pieces.clear()
        self.unread = 0
        return events

    async def wait(self, seconds: float | None = None) -> bool:
        """Wait until something comes; return False after so many seconds."""
        try:
            async with asyncio.timeout(seconds):
                await self.changed.wait()
        except TimeoutError:
            return False
        self.changed.clear()
        return True


class StreamDispatcher(Dispatcher):
    """A dispatcher of which requests can be answered in pieces."""

    def open_stream(self, payload: bytes, owner: str, timeout: float) -> StreamWaiter:
        """Send a request to a worker, whose pieces the waiter takes; it must be closed.

        Its first piece has ``timeout`` seconds.  Raises QueueUnavailable.
        """
        request = Request(new_task_id(), payload, owner, streams=True)
        waiter = self._ask(StreamWaiter, request, timeout)
        waiter.future.add_done_callback(partial(self._cut, waiter))
        return waiter

    def close_stream(self, waiter: StreamWaiter) -> None:
        """End a stream; if it has not ended, its client has gone, and its worker stops soon."""
        self._waiting.leave(waiter)
        waiter.future.cancel()

    def _cut(self, waiter: StreamWaiter, done: asyncio.Future[Outcome]) -> None:
        """Have the worker stop at the next piece of a stream that is cut off."""
        if done.cancelled() or not isinstance(done.exception(), TimeoutError | None):
            waiter.deadline = self._loop.time() + ABANDONED_SECONDS
            self._abandon(waiter)


async def events_of(waiter: StreamWaiter) -> AsyncGenerator[bytes, None]:
    """Yield the events of a prediction as its pieces come, until it has ended.

    Returns nothing of how it ended: that is the waiter's future's.
    """
    while True:
        is_over = waiter.future.done()  # looked at first: pieces come before the end
        if events := waiter.take():
            yield events
        if is_over:
            return
        if not await waiter.wait(HEARTBEAT_SECONDS):
            yield HEARTBEAT


def result_event(body: bytes) -> bytes:
    """Return the event that holds the whole prediction, as a client that waited would get it."""
    return b"event: result\ndata: %b\n\n" % body


def error_event(error: ApiError | RequestError) -> bytes:
    """Return the event that says why no more comes; its data is the body of such an answer."""
    return b"event: error\ndata: %b\n\n" % orjson.dumps(body_of(error))


class Closing(AsyncIterator[bytes]):
    """A generator that is closed when an answer has ended, however it has.

    Falcon leaves a generator to the garbage collector when the client goes while an event is being
    sent, and closes what has a ``close``.
    """

    def __init__(self, events: AsyncGenerator[bytes, None]) -> None:
        self._events = events

    async def __anext__(self) -> bytes:
        """Return the generator's next."""
        return await anext(self._events)

    async def close(self) -> None:
        """Close the generator, which ends its wait and gives its place back."""
        await self._events.aclose()


def set_stream(resp: falcon.asgi.Response, events: AsyncGenerator[bytes, None]) -> None:
    """Answer with events."""
    resp.content_type = EVENT_STREAM
    resp.cache_control = ["no-store"]
    resp.set_header("X-Accel-Buffering", "no")  # nginx would hold pieces back otherwise
    resp.stream = Closing(events)


def wants_stream(accept: str) -> bool:
    """Tell whether a request asks for server-sent events."""
    return any(each.partition(";")[0].strip().lower() == EVENT_STREAM for each in accept.split(","))
