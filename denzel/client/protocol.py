"""What a client says to a denzel API, and how it reads the answers; no connection is made here.

Each function is a generator: it yields a :class:`Call` to be sent or a :class:`Pause` to be made,
is given the :class:`Reply`, and returns the result.  A client that could not get a reply throws
:class:`~denzel.errors.ApiUnreachable` into it.
"""

from __future__ import annotations

import json
import math
import random
import re
import time
from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, TypeVar
from uuid import uuid4

from denzel.client.events import EVENT_STREAM, HEARTBEAT_SECONDS
from denzel.errors import ApiUnreachable, PredictionError, PredictionPending, UsageError

Result = TypeVar("Result")

JSON = "application/json"
SUCCESS, PENDING = "SUCCESS", "PENDING"
ENDED = frozenset({SUCCESS, "FAILURE", "REVOKED"})
LONGEST_WAIT_SECONDS = 600
"""What the API takes as the N of ``Prefer: wait=N`` and ``?wait=N``."""
ANSWER_SECONDS = 10.0
"""How long the API may take for anything but the prediction itself."""
RETRIED = frozenset({HTTPStatus.BAD_GATEWAY, HTTPStatus.SERVICE_UNAVAILABLE})
"""502 is a proxy's, in front of an API that is being restarted."""
FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.5, 10.0
SHOWN_BODY = 500
TASK_ID = re.compile(r"[A-Za-z0-9-]{1,128}")


@dataclass(frozen=True)
class Call:
    """A request to be sent; its answer is waited for ``seconds``."""

    method: str
    path: str
    seconds: float
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None


@dataclass(frozen=True)
class Pause:
    """A number of seconds to let pass."""

    seconds: float


@dataclass(frozen=True)
class Reply:
    """An answer; the names of its ``headers`` are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def media_type(self) -> str:
        """What the body is."""
        return self.headers.get("content-type", JSON).partition(";")[0].strip().lower()

    @property
    def prediction(self) -> Any:
        """The body, parsed; as bytes where it says that it is something else than JSON."""
        return self.value if self.media_type == JSON else self.body

    @property
    def value(self) -> Any:
        """The body, parsed; as text where it is not JSON."""
        try:
            return json.loads(self.body)
        except ValueError:
            return self.body.decode(errors="replace")


Exchange = Generator[Call | Pause, Reply | None, Result]


@dataclass(frozen=True)
class Task:
    """Where a prediction stands: what ``GET /status/ID`` answers.

    ``state`` is PENDING, SUCCESS, FAILURE or REVOKED; ``result`` is the prediction, or why there is
    none; ``started`` is when a worker began it (ISO 8601); ``callback`` says what became of its
    callback, if it has one.  ``file`` is there in place of a result that is no JSON: its
    ``content_type``, how many ``bytes`` it has, and the ``url`` it stands at.
    """

    id: str
    state: str
    result: Any = None
    started: str | None = None
    callback: Mapping[str, Any] | None = None
    file: Mapping[str, Any] | None = None

    @property
    def ended(self) -> bool:
        """Whether there is a result, be it a failure."""
        return self.state in ENDED

    def prediction(self) -> Any:
        """Return the result; raises PredictionError for a failure, PredictionPending before.

        Raises UsageError for one that is no JSON: the client's ``result`` fetches it.
        """
        if self.file is not None:
            raise UsageError(f"Prediction {self.id} is no JSON; client.result() fetches it")
        if self.state == SUCCESS:
            return self.result
        if not self.ended:
            begun = f"begun at {self.started}" if self.started else "not begun yet"
            raise PredictionPending(f"Prediction {self.id} is not made yet ({begun})", self.id)
        reason = self.result
        if isinstance(reason, dict):
            arguments = ", ".join(map(str, reason.get("args", ())))
            reason = ": ".join(filter(None, (reason.get("type"), arguments)))
        raise PredictionError(f"Prediction {self.id} ended in {self.state}: {reason}", self.id)


def predict(
    body: bytes, content_type: str, key: str | None, *, timeout: float, retries: int
) -> Exchange[Any]:
    """Send a request and return its prediction, waiting ``timeout`` seconds for it at most."""
    if timeout > LONGEST_WAIT_SECONDS:
        raise UsageError(
            f"An answer is waited for {LONGEST_WAIT_SECONDS} s at most, not {timeout:g} s; send "
            "the request asynchronously and ask for its result"
        )
    deadline = time.monotonic() + timeout
    # The server's own word that the time is over names the task, so it is waited for.
    prefer = {"Prefer": f"wait={math.ceil(timeout)}"}
    seconds = math.ceil(timeout) + ANSWER_SECONDS
    call = Call("POST", "/predict", seconds, _headers(content_type, key, retries) | prefer, body)
    reply = yield from _repeated(call, retries, deadline)
    return reply.prediction


def stream(body: bytes, content_type: str, *, timeout: float) -> Call:
    """Return the request whose answer comes in pieces, the first within ``timeout`` seconds.

    It is sent once, without an Idempotency-Key: what such a key keeps is the whole prediction.
    """
    if timeout > LONGEST_WAIT_SECONDS:
        raise UsageError(
            f"A first piece is waited for {LONGEST_WAIT_SECONDS} s at most, not {timeout:g} s"
        )
    headers = {
        "Accept": EVENT_STREAM, "Content-Type": content_type,
        "Prefer": f"wait={math.ceil(timeout)}",
    }  # fmt: skip
    seconds = max(math.ceil(timeout), HEARTBEAT_SECONDS) + ANSWER_SECONDS
    return Call("POST", "/predict", seconds, headers, body)


def no_stream(reply: Reply) -> PredictionError:
    """Return what an answer that does not come in pieces says."""
    if reply.status >= HTTPStatus.MULTIPLE_CHOICES:
        return _refusal(reply)
    return PredictionError(f"The API answered {reply.media_type} in place of {EVENT_STREAM}")


def submit(
    body: bytes, content_type: str, key: str | None, *, timeout: float, retries: int
) -> Exchange[str]:
    """Send a request to be predicted later; return its task's id once it is safely queued."""
    deadline = time.monotonic() + timeout
    prefer = {"Prefer": "respond-async"}
    call = Call(
        "POST", "/predict", ANSWER_SECONDS, _headers(content_type, key, retries) | prefer, body
    )
    reply = yield from _repeated(call, retries, deadline)
    value = reply.value
    try:
        return str(value["data"]["task_id"])
    except (TypeError, KeyError) as error:
        text = f"The API named no task but answered {str(value)[:SHOWN_BODY]}"
        raise PredictionError(text) from error


def status(task_id: str, *, wait: float, timeout: float, retries: int) -> Exchange[Task]:
    """Return where a prediction stands: once it has ended, or after ``wait`` seconds."""
    path = f"/status/{_checked(task_id)}"
    until = time.monotonic() + wait
    while True:
        left = max(until - time.monotonic(), 0.0)
        seconds = min(math.ceil(left), LONGEST_WAIT_SECONDS)
        call = Call("GET", f"{path}?wait={seconds}", seconds + ANSWER_SECONDS)
        reply = yield from _repeated(call, retries, time.monotonic() + max(left, timeout))
        task = _task(task_id, reply.value)
        if task.ended or time.monotonic() >= until:
            return task


def result(task_id: str, *, wait: float, timeout: float, retries: int) -> Exchange[Any]:
    """Return the prediction of a task, once it is made; bytes where it is no JSON."""
    task = yield from status(task_id, wait=wait, timeout=timeout, retries=retries)
    if task.file is None:
        return task.prediction()
    call = Call("GET", f"/status/{_checked(task_id)}/result", ANSWER_SECONDS)
    reply = yield from _repeated(call, retries, time.monotonic() + timeout)
    return reply.body


def cancel(task_id: str, *, timeout: float, retries: int) -> Exchange[Task]:
    """See that a prediction is not made; return where it stands from now on."""
    deadline = time.monotonic() + timeout
    call = Call("POST", f"/cancel/{_checked(task_id)}", ANSWER_SECONDS)
    reply = yield from _repeated(call, retries, deadline)
    return _task(task_id, reply.value)


def load(*, timeout: float, retries: int) -> Exchange[dict[str, Any]]:
    """Return how much there is to do, and what was done."""
    deadline = time.monotonic() + timeout
    reply = yield from _repeated(Call("GET", "/health/load", ANSWER_SECONDS), retries, deadline)
    return dict(reply.value)


def info(*, timeout: float, retries: int) -> Exchange[str]:
    """Return the text that describes the model."""
    deadline = time.monotonic() + timeout
    reply = yield from _repeated(Call("GET", "/info", ANSWER_SECONDS), retries, deadline)
    return reply.body.decode(errors="replace")


def encode(request: Mapping[str, Any] | bytes) -> bytes:
    """Return a request's body: JSON, or what is encoded already; raises UsageError for neither."""
    if isinstance(request, bytes):
        return request
    try:
        return json.dumps(request, allow_nan=False).encode()
    except (TypeError, ValueError) as error:
        raise UsageError(f"The request is not JSON-serializable: {error}") from error


def _headers(content_type: str, key: str | None, retries: int) -> dict[str, str]:
    """Return a prediction's headers; with a key the same request is never predicted twice."""
    key = key or (str(uuid4()) if retries else None)
    return {"Content-Type": content_type, **({"Idempotency-Key": key} if key else {})}


def _checked(task_id: str) -> str:
    if not TASK_ID.fullmatch(task_id):
        raise UsageError(f"{task_id!r} is no task's id")
    return task_id


def _repeated(call: Call, retries: int, deadline: float) -> Exchange[Reply]:
    """Return the reply to a call; sent again while the API is unreachable or says 502 or 503.

    Exponential backoff with jitter, or as long as ``Retry-After`` says; never beyond ``deadline``.
    """
    for attempt in range(retries + 1):
        pause = min(FIRST_PAUSE_SECONDS * 2**attempt, LONGEST_PAUSE_SECONDS)
        pause *= random.uniform(0.5, 1)
        try:
            reply = yield call
            assert reply is not None
        except ApiUnreachable:
            if attempt == retries or time.monotonic() + pause > deadline:
                raise
        else:
            if reply.status < HTTPStatus.MULTIPLE_CHOICES:
                return reply
            refusal = _refusal(reply)
            pause = max(pause, refusal.retry_after or 0.0)
            over = attempt == retries or time.monotonic() + pause > deadline
            if reply.status not in RETRIED or over:
                raise refusal
        yield Pause(pause)
    raise AssertionError("the last attempt returns or raises")


def _task(task_id: str, value: Any) -> Task:
    if not isinstance(value, dict) or "status" not in value:
        raise PredictionError(f"The API told no state but {str(value)[:SHOWN_BODY]}", task_id)
    return Task(
        task_id, str(value["status"]), value.get("result"), value.get("started"),
        value.get("callback"), value.get("file"),
    )  # fmt: skip


def _refusal(reply: Reply) -> PredictionError:
    """Return an answer that is none: ``status title: description``, else the start of its body."""
    value = reply.value
    task_id = reply.headers.get("denzel-task-id")
    if isinstance(value, dict) and "title" in value:
        text = f"{reply.status} {value['title']}"
        text += f": {value['description']}" if value.get("description") else ""
        task_id = value.get("task_id") or task_id
        text += f" (task {value['task_id']})" if value.get("task_id") else ""
    else:
        text = f"{reply.status} {_phrase(reply.status)}: {str(value)[:SHOWN_BODY]}"
    after = reply.headers.get("retry-after", "")
    seconds = float(after) if after.isdigit() else None
    text += f"; try again in {seconds:g} s" if seconds else ""
    kind = PredictionPending if reply.status == HTTPStatus.GATEWAY_TIMEOUT else PredictionError
    return kind(text, task_id, status=reply.status, retry_after=seconds)


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Unknown"
