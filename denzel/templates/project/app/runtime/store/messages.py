"""Celery task messages as kombu's Redis transport lays them out, written without kombu.

The API publishes one kind of task, so it needs neither Celery's import time and memory nor its cost
for each call.  Format: Celery's message protocol 2
(docs.celeryq.dev/en/stable/internals/protocol.html), wrapped as in kombu's virtual transport.

The headers come first, and the id and the time of sending first among them, at fixed places: the
Lua scripts read them there (``lua/messages.lua``), and write them: the time is Redis's.  ``alone``,
``timeout``, ``bytes``, ``reply_to``, ``owner``, ``binary`` and ``stream`` are denzel's own headers.
"""

from __future__ import annotations

import re
from typing import Any, NamedTuple

import orjson

from app.runtime.contract import BINARY, INVOKE_PREDICT, Request
from app.runtime.store.keys import PREDICTIONS_QUEUE

INLINE_PAYLOAD_BYTES = 32 * 1024
"""A larger payload is stored beside the message, so that nothing encodes it again."""

ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_ALONE = b',"alone":true'
_BINARY = b',"binary":true'
_STREAM = b',"stream":true'
_TIME_END = 80
"""Where the time of sending ends in every message."""
_TASK = b',"lang":"py","task":"%b"}' % INVOKE_PREDICT.encode()
_PROPERTIES = orjson.dumps(
    {
        "properties": {
            "delivery_tag": "",
            "delivery_info": {"exchange": "", "routing_key": PREDICTIONS_QUEUE},
        },
        "content-type": "application/json",
        "content-encoding": "utf-8",
    }
)
_BODY_START = "[["
_BODY_END = '],{},{"callbacks":null,"errbacks":null,"chain":null,"chord":null}]'
_BEFORE_BODY = _TASK + b"," + _PROPERTIES[1:-1] + b',"body":'


def _body(payload: bytes) -> bytes:
    """Return a task's arguments as a JSON text in a JSON string.

    kombu writes base64, which takes six times as long to read.
    """
    return orjson.dumps(_BODY_START + payload.decode() + _BODY_END)


_ASYNC_REST = _BEFORE_BODY + _body(b"null") + b"}"


def rest_of_async_message(*, alone: bool = False) -> bytes:
    """Return what follows id and time in an asynchronous request's message.

    ``alone`` has a process predict for it alone: it may have ended one.
    """
    return _ALONE + _ASYNC_REST if alone else _ASYNC_REST


def rest_of_sync_message(request: Request, reply_to: str, timeout: float) -> bytes:
    """Return what follows id and time in a synchronous request's message.

    ``reply_to`` names the API process whose client waits for ``timeout`` seconds.
    """
    payload = request.payload
    headers = b',"timeout":%.3f,"bytes":%d,"reply_to":"%b","owner":"%b"' % (
        timeout, len(payload), reply_to.encode(), request.owner.encode()
    )  # fmt: skip
    if _is_binary(payload):
        headers += _BINARY
    if request.streams:  # alone, so that its end need not wait for others
        headers = _ALONE + headers + _STREAM
    body = _body(b"null" if stands_beside(request) else payload)
    return b"%b%b%b}" % (headers, _BEFORE_BODY, body)


def stands_beside(request: Request) -> bool:
    """Tell whether a request's payload stands beside its message: a large one, or no text."""
    return len(request.payload) > INLINE_PAYLOAD_BYTES or _is_binary(request.payload)


def _is_binary(payload: bytes) -> bool:
    return payload[:1] == BINARY


def marked_alone(message: bytes) -> bytes:
    """Return a message that has a process predict for its request alone."""
    if message[_TIME_END:].startswith(_ALONE):
        return message
    return message[:_TIME_END] + _ALONE + message[_TIME_END:]


class Message(NamedTuple):
    """A message taken off a queue.

    ``headers`` are Celery's and ours; ``payload`` is None when it stands beside the message.
    """

    id: str
    headers: dict[str, Any]
    payload: bytes | None


def decode_message(encoded: bytes) -> Message:
    """Return what a message says.

    Raises ValueError, TypeError and LookupError for what is none of ours.
    """
    message = orjson.loads(encoded)
    headers = message["headers"]
    task_id = headers["id"]
    if not ID.fullmatch(task_id) or headers["task"] != INVOKE_PREDICT:
        raise ValueError(f"not a prediction: task {headers['task']!r} with id {task_id!r}")
    body = message["body"]
    if not (isinstance(body, str) and body.startswith(_BODY_START) and body.endswith(_BODY_END)):
        raise ValueError("not a prediction's arguments")
    payload = body[len(_BODY_START) : -len(_BODY_END)].encode()
    is_beside = headers.get("bytes", 0) > INLINE_PAYLOAD_BYTES or "binary" in headers
    return Message(task_id, headers, None if is_beside else payload)
