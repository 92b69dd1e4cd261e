"""The clients of an API process that wait for outcomes."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from app.runtime.api.waiting import Waiter, WaitingRoom
from app.runtime.contract import NOBODY, SUCCESS, Outcome, Request
from app.runtime.requests.errors import QueueUnavailable, WorkerLost
from app.runtime.store.codecs import encode_record

OUTCOME = Outcome("a", SUCCESS, b"{}")


def in_loop(use: Callable[[WaitingRoom], Awaitable[Any]]) -> None:
    """Run a test of a room in an event loop."""

    async def run() -> None:
        async with asyncio.timeout(10):
            await use(WaitingRoom())

    asyncio.run(run())


def test_everyone_who_waits_for_a_request_is_answered_and_nobody_else() -> None:
    async def use(room: WaitingRoom) -> None:
        first, second, other = (
            room.enter(Waiter, "a", 1),
            room.enter(Waiter, "a", 1),
            room.enter(Waiter, "b", 1),
        )
        record = encode_record(SUCCESS, NOBODY, b"{}")
        room.hear(b'[["a",%d]]\n' % len(record) + record)
        assert [await first.future, await second.future] == [OUTCOME] * 2
        assert not other.future.done()

    in_loop(use)


def test_an_outcome_nobody_waits_for_is_ignored() -> None:
    async def use(room: WaitingRoom) -> None:
        waiter = room.enter(Waiter, "a", 1)
        room.leave(waiter)
        room.resolve(OUTCOME)
        assert not waiter.future.done()
        assert room.task_ids() == []

    in_loop(use)


def test_the_first_end_of_a_wait_counts() -> None:
    async def use(room: WaitingRoom) -> None:
        waiter = room.enter(Waiter, "a", 1)
        waiter.answer(OUTCOME)
        waiter.give_up()
        waiter.fail(QueueUnavailable())
        assert await waiter.future == OUTCOME
        late = room.enter(Waiter, "a", 1)
        late.give_up()
        late.answer(OUTCOME)
        with pytest.raises(TimeoutError):
            await late.future

    in_loop(use)


def test_a_lost_request_is_sent_again_once() -> None:
    async def use(room: WaitingRoom) -> None:
        request = Request("a", b"1")
        sent, watching = room.enter(Waiter, "a", 1, request), room.enter(Waiter, "a", 1)
        assert room.lost(["unknown", "a"]) == [sent]
        assert room.lost(["a"]) == []
        with pytest.raises(WorkerLost):
            await sent.future
        assert not watching.future.done()

    in_loop(use)


def test_what_is_answered_is_not_sent_again() -> None:
    async def use(room: WaitingRoom) -> None:
        waiter = room.enter(Waiter, "a", 1, Request("a", b"1"))
        waiter.answer(OUTCOME)
        assert room.lost(["a"]) == []
        assert room.unanswered() == []

    in_loop(use)


def test_unanswered_are_those_that_this_process_sent() -> None:
    async def use(room: WaitingRoom) -> None:
        sent = room.enter(Waiter, "a", 1, Request("a", b"1"))
        room.enter(Waiter, "b", 1)
        assert room.unanswered() == [sent]
        assert room.task_ids() == ["a", "b"]

    in_loop(use)


def test_the_error_of_what_was_done_for_a_wait_ends_it() -> None:
    async def use(room: WaitingRoom) -> None:
        waiter, other = room.enter(Waiter, "a", 1), room.enter(Waiter, "a", 1)
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        done.set_result(None)
        other.fail_with(done)
        assert not other.future.done()
        failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        failed.set_exception(QueueUnavailable("away"))
        waiter.fail_with(failed)
        with pytest.raises(QueueUnavailable):
            await waiter.future

    in_loop(use)
