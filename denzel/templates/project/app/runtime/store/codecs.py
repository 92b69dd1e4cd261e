"""How requests, records and replies are laid out as bytes in Redis."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from app.runtime.contract import FINAL_STATES, Outcome, Request, ResponseMode


@dataclass(frozen=True, slots=True)
class Reply:
    """A worker's answer to one task: its group's outcomes, and the seconds it took to predict them.

    These are 0 when nothing was predicted.
    ``is_written`` says that Redis has them on disk, as far as REDIS_FSYNC has it.
    """

    group: str
    seconds: float
    outcomes: list[Outcome]
    is_written: bool = False


def encode_requests(requests: Sequence[Request]) -> list[list[Any]]:
    """Return requests as a task message carries them.

    A payload stays a string: JSON inside JSON is not looked into by anything on the way.
    """
    return [
        [
            request.id,
            request.payload.decode() if request.payload and request.is_inline else None,
            request.is_async,
        ]
        for request in requests
    ]


def decode_requests(encoded: Sequence[Sequence[Any]]) -> list[Request]:
    """Return the requests of a task message."""
    return [
        Request(task_id, None if payload is None else payload.encode(), None, is_async)
        for task_id, payload, is_async in encoded
    ]


def encode_stored_request(request: Request) -> bytes:
    """Return a request as it stands in Redis: its callback URI as JSON, then its payload."""
    return orjson.dumps(request.callback_uri) + b"\n" + (request.payload or b"null")


def decode_stored_request(task_id: str, stored: bytes, is_async: bool) -> Request:
    """Return a request that stood in Redis."""
    callback_uri, _, payload = stored.partition(b"\n")
    return Request(task_id, payload, orjson.loads(callback_uri), is_async)


def encode_record(state: str, body: bytes = b"null") -> bytes:
    """Return a request's record: its state, a space, its result as JSON."""
    return state.encode() + b" " + body


def decode_record(record: bytes) -> tuple[str, bytes]:
    """Return the state and the JSON result of a record."""
    state, _, body = record.partition(b" ")
    return state.decode(), body


def encode_reply(reply: Reply) -> bytes:
    """Return a reply as one message: a JSON line with every length, then the bodies."""
    index = [(outcome.id, outcome.state, len(outcome.body)) for outcome in reply.outcomes]
    head = orjson.dumps([reply.group, reply.seconds, reply.is_written, index])
    return b"".join((head, b"\n", *(outcome.body for outcome in reply.outcomes)))


def decode_reply(message: bytes) -> Reply:
    """Return the reply in a message; bodies are copied, never parsed."""
    start = message.index(b"\n") + 1
    group, seconds, is_written, index = orjson.loads(message[: start - 1])
    outcomes = []
    for task_id, state, length in index:
        outcomes.append(Outcome(task_id, state, message[start : start + length]))
        start += length
    return Reply(group, seconds, outcomes, is_written)


def find_outcome(task_id: str, record: bytes | None, frame: bytes | None) -> Outcome | None:
    """Return where a request stands, from its record and its group's frame; None if unknown."""
    outcome = None if record is None else Outcome(task_id, *decode_record(record))
    if frame is not None and (outcome is None or outcome.state not in FINAL_STATES):
        for each in decode_reply(frame).outcomes:
            if each.id == task_id:
                return each
    return outcome


def decode_response_mode(data: bytes | None) -> ResponseMode:
    """Return a stored response mode; nothing stored is the default one."""
    return ResponseMode(**orjson.loads(data)) if data else ResponseMode()
