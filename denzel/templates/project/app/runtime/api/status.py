"""``GET /status/{task_id}`` and ``POST /cancel/{task_id}``."""

from __future__ import annotations

import time
from datetime import UTC, datetime

import falcon
import falcon.asgi
import orjson

from app.runtime.api.access import caller
from app.runtime.api.admission import Admission
from app.runtime.api.dispatch import Dispatcher
from app.runtime.api.errors import (
    TASK_ID_HEADER,
    BadInput,
    NoResultYet,
    PredictionCancelled,
    UnknownTask,
)
from app.runtime.api.predict import failed, show_body
from app.runtime.api.preferences import MAX_WAIT_SECONDS
from app.runtime.api.redis_answers import ANSWER_SECONDS, asked
from app.runtime.contract import FAILURE, JSON, PENDING, REVOKED, owner_of, split_body
from app.runtime.store.codecs import Record

LAST_LOOK_SECONDS = 0.5
"""How long Redis may take to tell where a request stands, once its client has waited for it."""


class StatusResource:
    """``GET /status/{task_id}``: where a prediction stands, at once or when it has ended."""

    def __init__(self, dispatcher: Dispatcher, admission: Admission) -> None:
        self._dispatcher = dispatcher
        self._admission = admission

    async def on_get(
        self, req: falcon.asgi.Request, resp: falcon.asgi.Response, task_id: str
    ) -> None:
        """Answer Celery's state and the result, or the failure's arguments."""
        wait = read_wait(req)
        seconds = wait + LAST_LOOK_SECONDS if wait else ANSWER_SECONDS
        await asked(self._answer(req, resp, task_id, wait), seconds)

    async def _answer(
        self, req: falcon.asgi.Request, resp: falcon.asgi.Response, task_id: str, wait: float
    ) -> None:
        until = time.monotonic() + wait
        owner = owner_of(caller(req))
        record = await known_record(self._dispatcher, task_id, owner)
        if wait and not record.is_final:
            with self._admission.waiting:
                await self._dispatcher.wait(task_id, max(0.0, until - time.monotonic()))
            record = await known_record(self._dispatcher, task_id, owner)
        await show(self._dispatcher, req, resp, task_id, record)

    on_head = on_get


class ResultResource:
    """``GET /status/{task_id}/result``: a prediction by itself, as a synchronous answer has it."""

    def __init__(self, dispatcher: Dispatcher) -> None:
        self._dispatcher = dispatcher

    async def on_get(
        self, req: falcon.asgi.Request, resp: falcon.asgi.Response, task_id: str
    ) -> None:
        """Answer predict's result, or why there is none."""
        record = await known_record(self._dispatcher, task_id, owner_of(caller(req)))
        if not record.is_final:
            raise NoResultYet(f"Task {task_id} has not ended", task_id=task_id)
        if record.state == REVOKED:
            raise PredictionCancelled("It was cancelled, or not begun in time", task_id=task_id)
        if record.state == FAILURE:
            raise failed(record.body)
        resp.set_header(TASK_ID_HEADER, task_id)
        resp.content_type = falcon.MEDIA_JSON
        show_body(resp, record.body)

    on_head = on_get


class CancelResource:
    """``POST /cancel/{task_id}``: see that a prediction is not made."""

    def __init__(self, dispatcher: Dispatcher) -> None:
        self._dispatcher = dispatcher

    async def on_post(
        self, req: falcon.asgi.Request, resp: falcon.asgi.Response, task_id: str
    ) -> None:
        """Answer what ``/status`` says from now on."""
        owner = owner_of(caller(req))
        if not await self._dispatcher.cancel(task_id, owner):
            raise unknown(task_id)
        record = await known_record(self._dispatcher, task_id, owner)
        await show(self._dispatcher, req, resp, task_id, record)


async def known_record(dispatcher: Dispatcher, task_id: str, owner: str) -> Record:
    """Return what is known of an owner's task; raises UnknownTask."""
    record = await dispatcher.find(task_id, owner)
    if record is None:
        raise unknown(task_id)
    return record


def unknown(task_id: str) -> UnknownTask:
    """Return the error of an id that its sender was not given, or no longer stands for a task."""
    return UnknownTask(f"No task {task_id}: never given, or its result has expired")


async def show(
    dispatcher: Dispatcher,
    req: falcon.asgi.Request,
    resp: falcon.asgi.Response,
    task_id: str,
    record: Record,
) -> None:
    """Answer what is known of a task."""
    if record.is_final:
        url = f"{req.root_path}/status/{task_id}/result"
        answer = b'"status":"%b",%b' % (record.state.encode(), shown_result(record.body, url))
    else:
        answer = b'"status":"%b","result":null' % PENDING.encode()
    if record.started is not None:
        moment = datetime.fromtimestamp(record.started, UTC)
        answer += b',"started":"%b"' % moment.isoformat(timespec="milliseconds").encode()
    # Why an attempt failed is the operator's to know (`denzel callbacks`): it would tell a
    # client which addresses of the inside network answer.
    known = await dispatcher.callback_of(task_id)
    callback = {key: value for key, value in known.items() if key != "last_error"}
    if callback:
        answer += b',"callback":%b' % orjson.dumps(callback)
    resp.content_type = falcon.MEDIA_JSON
    resp.data = b"{%b}" % answer
    resp.set_header(TASK_ID_HEADER, task_id)


def shown_result(body: bytes, url: str) -> bytes:
    """Return the fields of ``/status`` that tell a result: it, or where it is if it is no JSON."""
    content_type, start = split_body(body)
    if content_type == JSON:
        return b'"result":%b' % body
    file = {"content_type": content_type, "bytes": len(body) - start, "url": url}
    return b'"result":null,"file":%b' % orjson.dumps(file)


def read_wait(req: falcon.asgi.Request) -> float:
    """Return for how many seconds the client wants to wait, 0 when it does not.

    Raises BadInput for what is no such number.
    """
    text = req.get_param("wait", default="0")
    if not (text.isascii() and text.isdigit() and float(text) <= MAX_WAIT_SECONDS):
        raise BadInput(f"wait: it takes a whole number of seconds, {MAX_WAIT_SECONDS:g} at most")
    return float(text)
