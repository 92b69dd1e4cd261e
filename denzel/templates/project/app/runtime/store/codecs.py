"""How records, requests and replies are laid out as bytes in Redis."""

from __future__ import annotations

from typing import NamedTuple

import orjson

from app.runtime.contract import FINAL_STATES, Outcome, ResponseMode


class Record(NamedTuple):
    """What is known of a request: ``STATE OWNER BODY``, separated by spaces.

    ``body`` is the result or the failure as JSON.  Before the end it is for the scripts: how often
    the request was begun, once it was begun also when and by whom.
    """

    state: str
    body: bytes
    owner: str

    @property
    def is_final(self) -> bool:
        """Whether the request has ended."""
        return self.state in FINAL_STATES

    @property
    def started(self) -> float | None:
        """When an unfinished request was begun, in seconds since the epoch."""
        if self.is_final:
            return None
        noted = orjson.loads(self.body)
        return noted[1] if isinstance(noted, list) else None


def encode_record(state: str, owner: str, body: bytes) -> bytes:
    """Return a record as it stands in Redis."""
    return b"%b %b %b" % (state.encode(), owner.encode(), body)


def decode_record(record: bytes) -> Record:
    """Return what a record says."""
    state, owner, body = record.split(b" ", 2)
    return Record(state.decode(), body, owner.decode())


def encode_stored_request(callback_uri: str | None, payload: bytes) -> bytes:
    """Return an asynchronous request as it stands in Redis."""
    return orjson.dumps(callback_uri) + b"\n" + payload


def decode_stored_request(stored: bytes) -> tuple[str | None, bytes]:
    """Return an asynchronous request's callback URI and payload."""
    callback_uri, _, payload = stored.partition(b"\n")
    return orjson.loads(callback_uri), payload


def decode_reply(message: bytes) -> list[Outcome]:
    """Return the outcomes in a reply (``lua/reply.lua``); bodies are copied, never parsed."""
    start = message.index(b"\n") + 1
    outcomes = []
    for task_id, length in orjson.loads(message[: start - 1]):
        state, _, body = message[start : start + length].split(b" ", 2)
        outcomes.append(Outcome(task_id, state.decode(), body))
        start += length
    return outcomes


def decode_response_mode(data: bytes | None) -> ResponseMode:
    """Return a stored response mode; nothing stored is the default one."""
    return ResponseMode(**orjson.loads(data)) if data else ResponseMode()
