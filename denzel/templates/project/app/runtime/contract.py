"""The plain data that API, worker and callbacks exchange: requests, outcomes, states."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from typing import Any, NamedTuple

import orjson

INVOKE_PREDICT = "app.tasks.invoke_predict"
"""Celery's name of the task that stands for a prediction."""

PENDING = "PENDING"
STARTED = "STARTED"
SUCCESS = "SUCCESS"
FAILURE = "FAILURE"
REVOKED = "REVOKED"
PIECE = "PIECE"
"""In place of a state: a part of a prediction that is made; ``body`` is its number and JSON."""
STORED = "STORED"
"""In place of a state: the outcome is too large to be told, and stands in the request's record."""
FINAL_STATES = frozenset({SUCCESS, FAILURE, REVOKED})

BINARY = b"\0"
"""How a payload or a result begins that is no JSON, which never begins like this."""
JSON = "application/json"

NOBODY = "-"
"""The owner of what was asked for without an API key."""


def new_task_id() -> str:
    """Return a random UUID (version 4) as text; ``uuid4`` takes three times as long."""
    digits = os.urandom(16).hex()
    return f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-a{digits[17:20]}-{digits[20:]}"


class Request(NamedTuple):
    """One verified prediction request on its way to a worker.

    ``payload`` is what verify_input returned (``pipeline/payloads.py``); ``owner`` is who may ask
    for the outcome (:func:`owner_of`).  ``streams`` asks for a synchronous one's pieces as they
    come.
    """

    id: str
    payload: bytes
    owner: str = NOBODY
    callback_uri: str | None = None
    streams: bool = False


class Outcome(NamedTuple):
    """What became of a request; ``body`` is the failure as JSON, or predict's result.

    That is JSON, or bytes with their type before them (:func:`typed_body`).
    """

    id: str
    state: str
    body: bytes


def typed_body(content_type: str, content: bytes) -> bytes:
    """Return the body of an outcome that is no JSON: ``NUL TYPE newline BYTES``."""
    return b"%b%b\n%b" % (BINARY, content_type.encode(), content)


def split_body(body: bytes) -> tuple[str, int]:
    """Return an outcome's type, and where in its body the content begins."""
    if body[:1] != BINARY:
        return JSON, 0
    end = body.index(b"\n")
    return body[1:end].decode(), end + 1


DEFAULT_TIMEOUT_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class ResponseMode:
    """How ``/predict`` answers: at once with a task id, or within ``timeout`` seconds."""

    is_async: bool = False
    timeout: float = DEFAULT_TIMEOUT_SECONDS


def owner_of(key_name: str) -> str:
    """Return the owner of what is asked for with the API key called ``key_name``, '' for none."""
    return hashlib.sha256(key_name.encode()).hexdigest()[:16] if key_name else NOBODY


def failure_body(error: BaseException, hint: str = "") -> bytes:
    """Return an exception as ``/status`` shows it: its arguments, and its type's name.

    Arguments that are not JSON-serializable are shown by their text.  ``hint`` says what to do,
    behind the exception's own message.
    """
    arguments = [_plain(argument) for argument in error.args]
    if hint:
        arguments = [f"{text_of(error).rstrip('.')}. {hint}"]
    return orjson.dumps({"args": arguments, "type": type(error).__name__})


CANCELLED = orjson.dumps({"args": ["cancelled"], "type": "TaskRevokedError"})
"""The result of a request that was cancelled or revoked."""


def _plain(value: Any) -> Any:
    try:
        orjson.dumps(value)
    except TypeError:
        return text_of(value)
    return value


def text_of(value: object) -> str:
    """Return ``str(value)`` as UTF-8 can hold it, also when the value refuses to be shown."""
    try:
        text = str(value)
    except BaseException:  # noqa: BLE001 - the value may be of the user's own class
        text = f"<{type(value).__name__} without a text>"
    return text.encode(errors="replace").decode()
