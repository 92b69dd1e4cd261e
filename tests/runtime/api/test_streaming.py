"""Pieces of a prediction on their way to a client."""

from __future__ import annotations

import asyncio

import pytest

from app.runtime.api import streaming
from app.runtime.api.errors import StreamCut
from app.runtime.api.streaming import (
    HEARTBEAT,
    MAX_UNREAD_BYTES,
    StreamWaiter,
    events_of,
    wants_stream,
)
from app.runtime.contract import PIECE, SUCCESS, Outcome


def waiter() -> StreamWaiter:
    return StreamWaiter("id", 0.0, asyncio.get_running_loop().create_future())


def tell(stream: StreamWaiter, number: int, piece: bytes) -> None:
    stream.answer(Outcome("id", PIECE, b"%d %b" % (number, piece)))


def test_pieces_come_in_order_and_none_after_the_end() -> None:
    async def use() -> list[bytes]:
        stream = waiter()
        tell(stream, 0, b'"a"')
        tell(stream, 1, b'"b c"')
        found = []
        async for events in events_of(stream):
            found.append(events)
            if len(found) == 1:
                tell(stream, 2, b"3")
                stream.answer(Outcome("id", SUCCESS, b"{}"))
                tell(stream, 3, b"4")
        return found

    assert asyncio.run(use()) == [b'data: "a"\n\ndata: "b c"\n\n', b"data: 3\n\n"]


def test_silence_is_broken_by_comments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streaming, "HEARTBEAT_SECONDS", 0.01)

    async def use() -> list[bytes]:
        stream = waiter()
        found = []
        async for events in events_of(stream):
            found.append(events)
            if len(found) == 2:
                tell(stream, 0, b"1")
                stream.answer(Outcome("id", SUCCESS, b"{}"))
        return found

    assert asyncio.run(use()) == [HEARTBEAT, HEARTBEAT, b"data: 1\n\n"]


@pytest.mark.parametrize(
    ("pieces", "reason"),
    [
        ([(0, b"1"), (2, b"3")], "A part of the answer was lost"),
        ([(0, b"x" * MAX_UNREAD_BYTES), (1, b"1")], "The client reads too slowly"),
    ],
)
def test_a_stream_that_cannot_go_on_is_cut(pieces: list[tuple[int, bytes]], reason: str) -> None:
    async def use() -> None:
        stream = waiter()
        for number, piece in pieces:
            tell(stream, number, piece)
        with pytest.raises(StreamCut, match=reason):
            await stream.future

    asyncio.run(use())


def test_a_lone_large_piece_is_no_sign_of_a_slow_client() -> None:
    async def use() -> None:
        stream = waiter()
        for number in range(3):
            tell(stream, number, b"x" * 2 * MAX_UNREAD_BYTES)
            assert not stream.future.done()
            stream.take()

    asyncio.run(use())


def test_what_has_begun_is_not_given_up_and_not_sent_again() -> None:
    async def use() -> None:
        begun, unbegun = waiter(), waiter()
        tell(begun, 0, b"1")
        for stream in (begun, unbegun):
            stream.give_up()
        assert not begun.future.done()
        assert isinstance(unbegun.future.exception(), TimeoutError)
        assert (begun.can_be_sent_again, unbegun.can_be_sent_again) == (False, True)

    asyncio.run(use())


@pytest.mark.parametrize(
    ("accept", "wanted"),
    [
        ("text/event-stream", True), ("application/json, Text/Event-Stream;q=0.5", True),
        ("*/*", False), ("application/json", False), ("text/event-streams", False), ("", False),
    ],
)  # fmt: skip
def test_a_stream_is_asked_for_by_its_type(accept: str, wanted: bool) -> None:
    assert wants_stream(accept) is wanted
