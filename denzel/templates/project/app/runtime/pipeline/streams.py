"""A predict that yields: its pieces are sent as they come, to a client that wants them so."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from typing import Any

from app.runtime.pipeline.json_codec import dump, dump_result
from app.runtime.pipeline.time_limit import NO_LIMIT, TimeLimit

MAX_PIECE_BYTES = 8 * 2**20
"""Redis hangs up on an API process that has four times as much to read on its channel."""
Send = Callable[[bytes], bool]
"""Sends a piece, as JSON; returns whether anybody still wants more."""


class Unwanted(Exception):
    """The client has gone in the midst of its answer."""


def consume(
    pieces: Generator[Any, None, Any],
    send: Send | None = None,
    limit: TimeLimit = NO_LIMIT,
    started: float = 0.0,
) -> bytes:
    """Return the body of what a generator predicts, all of it: what it returns, else its pieces.

    Each piece is sent before the next is asked for, outside of the time limit: that could strike
    in the midst of a command to Redis.  Raises Unwanted when ``send`` does, and what the generator
    raises; it is closed in any case.
    """
    sent: list[bytes] = []
    try:
        while True:
            with limit.of(started):
                try:
                    piece = dump(next(pieces))
                except StopIteration as stopped:
                    return _whole(sent, stopped.value)
            if len(piece) > MAX_PIECE_BYTES:
                raise ValueError(
                    f"predict yielded {len(piece)} bytes at once; {MAX_PIECE_BYTES} may be a piece"
                )
            sent.append(piece)
            if send is not None and not send(piece):
                raise Unwanted("nobody waited for it any more")
    finally:
        with limit.of(started):
            pieces.close()


def predict_whole(predict: Callable[[Any, Any], Any], model: Any, data: Any) -> bytes:
    """Return the body of what a predict that yields makes of a request."""
    return consume(predict(model, data), started=time.monotonic())


def _whole(pieces: list[bytes], returned: Any) -> bytes:
    if returned is not None:
        return dump_result(returned)
    return b'{"chunks":[%b]}' % b",".join(pieces)
