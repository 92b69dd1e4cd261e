"""The plain data that API, worker and callbacks exchange: requests, outcomes, states."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import orjson

INVOKE_PREDICT = "app.tasks.invoke_predict"

PENDING = "PENDING"

STARTED = "STARTED"

SUCCESS = "SUCCESS"

FAILURE = "FAILURE"

REVOKED = "REVOKED"

FINAL_STATES = frozenset({SUCCESS, FAILURE, REVOKED})

INLINE_PAYLOAD_BYTES = 32 * 1024
"""A larger payload is stored beside the message, so that nothing encodes it again."""

SYNC_TTL_SECONDS = 600
"""How long a request stays whose client waits, and its result: enough to ask after a 504."""


class Request(NamedTuple):
    """One verified prediction request on its way to a worker.

    ``payload`` is JSON; None when it has yet to be read from Redis (``request_key(id)``).
    """

    id: str
    payload: bytes | None
    callback_uri: str | None = None
    is_async: bool = False

    @property
    def is_inline(self) -> bool:
        """Whether the payload travels in the message rather than beside it in Redis."""
        return not self.is_async and len(self.payload or b"") <= INLINE_PAYLOAD_BYTES


class Outcome(NamedTuple):
    """What became of a request; ``body`` is predict's dict or the failure, as JSON."""

    id: str
    state: str
    body: bytes


DEFAULT_TIMEOUT_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class ResponseMode:
    """How ``/predict`` answers: at once with a task id, or within ``timeout`` seconds."""

    is_async: bool = False
    timeout: float = DEFAULT_TIMEOUT_SECONDS


def failure_body(error: BaseException) -> bytes:
    """Return an exception as ``/status`` shows it: its arguments, and its type's name.

    Arguments that JSON has no form for are shown by their text.
    """
    arguments = [_plain(argument) for argument in error.args]
    return orjson.dumps({"args": arguments, "type": type(error).__name__})


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
