"""The clients of one API process that wait for outcomes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, TypeVar

from app.runtime.contract import PIECE, STORED, Outcome, Request
from app.runtime.requests.errors import WorkerLost
from app.runtime.store.codecs import decode_reply


@dataclass(eq=False, slots=True)
class Waiter:
    """A client that waits for the outcome of ``task_id`` until ``deadline`` on the loop's clock.

    ``request`` is there when this process sent it, synchronously: it can be sent again.
    ``is_confirmed`` says that Redis has it on its queue.
    """

    task_id: str
    deadline: float
    future: asyncio.Future[Outcome]
    request: Request | None = None
    timer: asyncio.TimerHandle | None = None
    is_confirmed: bool = False
    was_lost: bool = False

    @property
    def can_be_sent_again(self) -> bool:
        """Whether the request may be predicted anew."""
        return True

    def answer(self, outcome: Outcome) -> None:
        """End the wait."""
        if not self.future.done():
            self.future.set_result(outcome)

    def fail(self, error: BaseException) -> None:
        """End the wait with an error."""
        if not self.future.done():
            self.future.set_exception(error)

    def give_up(self) -> None:
        """End the wait: the time is up."""
        self.fail(TimeoutError())

    def start_timer(self, seconds: float) -> None:
        """Give up in so many seconds; leaner than asyncio.timeout, entered for each request."""
        self.timer = self.future.get_loop().call_later(seconds, self.give_up)

    def fail_with(self, done: asyncio.Future[Any]) -> None:
        """End the wait with the error of what has been done for it, if it has one."""
        error = None if done.cancelled() else done.exception()
        if error is not None:
            self.fail(error)


AnyWaiter = TypeVar("AnyWaiter", bound=Waiter)


class WaitingRoom:
    """Who waits for what; several clients may wait for one request.

    ``unwanted`` is called with the id of a request of which a piece came that nobody waits for,
    ``stored`` with that of one whose outcome is to be read.
    """

    def __init__(
        self,
        unwanted: Callable[[str], None] = lambda _: None,
        stored: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._unwanted = unwanted
        self._stored = stored
        self._waiters: dict[str, list[Waiter]] = {}

    def enter(
        self, kind: type[AnyWaiter], task_id: str, seconds: float, request: Request | None = None
    ) -> AnyWaiter:
        """Begin to wait, for so many seconds from now on once its timer is started."""
        loop = asyncio.get_running_loop()
        waiter = kind(task_id, loop.time() + seconds, loop.create_future(), request)
        self._waiters.setdefault(task_id, []).append(waiter)
        return waiter

    def leave(self, waiter: Waiter) -> None:
        """End the wait, whatever came of it."""
        if waiter.timer is not None:
            waiter.timer.cancel()
        waiters = self._waiters[waiter.task_id]
        waiters.remove(waiter)
        if not waiters:
            del self._waiters[waiter.task_id]

    def hear(self, message: bytes) -> None:
        """Take in a reply."""
        for outcome in decode_reply(message):
            if outcome.state == STORED:
                self._stored(outcome.id)
            else:
                self.resolve(outcome)

    def resolve(self, outcome: Outcome) -> None:
        """Answer those who wait for a request."""
        waiters = self._waiters.get(outcome.id, ())
        for waiter in waiters:
            waiter.answer(outcome)
        if not waiters and outcome.state == PIECE:
            self._unwanted(outcome.id)

    def lost(self, task_ids: Iterable[str]) -> list[Waiter]:
        """Return who waits for requests that a dead worker held, to be sent again.

        Those for whom this is the second time are given an error: their request may be what ends
        the workers.
        """
        again = []
        for task_id in task_ids:
            for waiter in self._waiters.get(task_id, ()):
                if waiter.request is None or waiter.future.done():
                    continue
                if not waiter.can_be_sent_again:
                    waiter.fail(WorkerLost("The worker died in the midst of its answer"))
                elif waiter.was_lost:
                    waiter.fail(WorkerLost("The worker died while it had the request, twice"))
                else:
                    waiter.was_lost = True
                    again.append(waiter)
        return again

    def task_ids(self) -> list[str]:
        """Return what is waited for."""
        return list(self._waiters)

    def watching(self) -> list[Waiter]:
        """Return who waits for the end of a request that was accepted before."""
        return [
            waiter
            for waiters in self._waiters.values()
            for waiter in waiters
            if waiter.request is None and not waiter.future.done()
        ]

    def unanswered(self) -> list[Waiter]:
        """Return who waits for a request that this process sent."""
        return [
            waiter
            for waiters in self._waiters.values()
            for waiter in waiters
            if waiter.request is not None and not waiter.future.done()
        ]
