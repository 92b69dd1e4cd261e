"""Everything that knows a key in Redis, or how bytes are laid out there.

========================  =======================================================
``predictions``           list: Celery's queue of ``invoke_predict`` tasks
``predictions.sync``      list: the same for synchronous requests, not written to disk
``denzel:task:ID``        string: a request's record, ``STATE JSON``
``denzel:frame:GROUP``     string: the outcomes of a group of synchronous requests, as sent
``denzel:request:ID``     string: a request's callback URI as JSON, a line end, its JSON;
                          asynchronous requests and those too large for a message
``denzel:queued``, …      the ledger of asynchronous requests: see ``app/runtime/ledger.py``
``denzel:callback:ID``    hash: where a callback goes, and what became of it
``denzel:callbacks:due``  sorted set: callbacks to deliver, by the time of the next try
``denzel:callbacks:wake`` list: something to wake the callbacks service with
``denzel:callbacks:failed``  sorted set: callbacks given up but kept
``denzel:watchers:ID``    set: API processes that wait for the end of a request
``denzel:idempotency:H``  string: id and digest of the body that came with an Idempotency-Key
``denzel:stop:HOLDER``    list: requests a worker shall stop (``app/runtime/stopping.py``)
``denzel:stopping:ID``    string: who shall stop this request; gone when it need not be
``denzel:workers``        hash: each worker's name, how many processes it has
``denzel:speed``          string: seconds a prediction takes, measured of late
``denzel:response``       string: how ``/predict`` answers, ``{"mode", "timeout"}``
``denzel:reply:NAME``     channel: outcomes for the API process called NAME
``denzel:ended:NAME``     channel: ids of requests that have ended, for the API process NAME
``denzel:work``           channel: calls all workers to the two lists of tasks
``denzel:control``        channel: a new response mode, and the list that takes its receipts
========================  =======================================================
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple
from uuid import uuid4

import orjson

PREDICTIONS_QUEUE = "predictions"
SYNC_QUEUE = "predictions.sync"
"""A stock Celery worker serves it with ``-Q predictions,predictions.sync``."""
WORK_CHANNEL = "denzel:work"
INVOKE_PREDICT = "app.tasks.invoke_predict"
CONTROL_CHANNEL = "denzel:control"
RESPONSE_KEY = "denzel:response"
WORKERS_KEY = "denzel:workers"
SPEED_KEY = "denzel:speed"
QUEUED_KEY = "denzel:queued"
LEASED_KEY = "denzel:leased"
CALLBACKS_DUE_KEY = "denzel:callbacks:due"
CALLBACKS_FAILED_KEY = "denzel:callbacks:failed"
CALLBACKS_WAKE_KEY = "denzel:callbacks:wake"

PENDING = "PENDING"
STARTED = "STARTED"
SUCCESS = "SUCCESS"
FAILURE = "FAILURE"
REVOKED = "REVOKED"
FINAL_STATES = frozenset({SUCCESS, FAILURE, REVOKED})

GROUP_DIGITS = 3
"""Hexadecimal digits at the end of an id that count the requests of a group."""

INLINE_PAYLOAD_BYTES = 32 * 1024
"""A larger payload is stored beside the message, so that nothing encodes it again."""

# Puts a message on a list of tasks, with LPUSH behind all others and with RPUSH before them.
# Workers are called when the list was empty; otherwise they have not found its end yet.
QUEUE_TASK = f"""
local function queue_task(push, list, message)
  if redis.call(push, list, message) == 1 then redis.call('PUBLISH', '{WORK_CHANNEL}', '') end
end
"""

# Calls a command with what a list holds, in parts, since a call takes some thousands of arguments
# at most; returns its answers as one list.  One command for a group takes Redis a fraction of what
# one for each request does.
IN_PARTS = """
local function in_parts(list, call)
  local answers = {}
  for first = 1, #list, 1000 do
    local part = call(unpack(list, first, math.min(first + 999, #list)))
    if type(part) == 'table' then
      for _, answer in ipairs(part) do answers[#answers + 1] = answer end
    end
  end
  return answers
end
"""

WHEN_FULL = "#!lua flags=allow-oom\n"
"""Begins a script that runs although Redis's memory is full: it needs next to none itself, and
what keeps memory from being freed again would not get done without it (Redis 7 and newer)."""

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


DEFAULT_TIMEOUT_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class ResponseMode:
    """How ``/predict`` answers: at once with a task id, or within ``timeout`` seconds."""

    is_async: bool = False
    timeout: float = DEFAULT_TIMEOUT_SECONDS


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


def task_key(task_id: str) -> str:
    """Return the key of a request's record."""
    return f"denzel:task:{task_id}"


def request_key(task_id: str) -> str:
    """Return the key of a request that stands beside its message."""
    return f"denzel:request:{task_id}"


def frame_key(task_id: str) -> str:
    """Return the key of the outcomes of the group a synchronous request travelled in."""
    return f"denzel:frame:{task_id[:-GROUP_DIGITS]}"


def group_ids(count: int) -> list[str]:
    """Return ids for a group of requests: UUIDs alike but for the last digits.

    So a request's id alone tells where its group's outcomes stand.
    """
    base = str(uuid4())[:-GROUP_DIGITS]
    return [f"{base}{position:0{GROUP_DIGITS}x}" for position in range(count)]


def callback_key(task_id: str) -> str:
    """Return the key of what is known of a request's callback."""
    return f"denzel:callback:{task_id}"


def watchers_key(task_id: str) -> str:
    """Return the key of the API processes that wait for a request's end."""
    return f"denzel:watchers:{task_id}"


def ended_channel(name: str) -> str:
    """Return the channel on which the API process ``name`` hears of requests' ends."""
    return f"denzel:ended:{name}"


def idempotency_key(digest: str) -> str:
    """Return the key of what an Idempotency-Key, given by its digest, stands for."""
    return f"denzel:idempotency:{digest}"


def stop_key(holder: str) -> str:
    """Return the key of the requests a worker shall stop."""
    return f"denzel:stop:{holder}"


def stopping_key(task_id: str) -> str:
    """Return the key that tells that a request is still to be stopped."""
    return f"denzel:stopping:{task_id}"


def encode_stored_request(request: Request) -> bytes:
    """Return a request as it stands in Redis: its callback URI as JSON, then its payload."""
    return orjson.dumps(request.callback_uri) + b"\n" + (request.payload or b"null")


def decode_stored_request(task_id: str, stored: bytes, is_async: bool) -> Request:
    """Return a request that stood in Redis."""
    callback_uri, _, payload = stored.partition(b"\n")
    return Request(task_id, payload, orjson.loads(callback_uri), is_async)


def reply_channel(name: str) -> str:
    """Return the channel on which the API process ``name`` hears of outcomes."""
    return f"denzel:reply:{name}"


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


def encode_response_mode(mode: ResponseMode) -> bytes:
    """Return a response mode as stored and announced."""
    return orjson.dumps({"is_async": mode.is_async, "timeout": mode.timeout})


def decode_response_mode(data: bytes | None) -> ResponseMode:
    """Return a stored response mode; nothing stored is the default one."""
    return ResponseMode(**orjson.loads(data)) if data else ResponseMode()


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
