"""``GET /status/{task_id}`` and ``POST /cancel/{task_id}``."""

from __future__ import annotations

import falcon
import falcon.asgi
import orjson

from app.runtime.api.admission import Admission
from app.runtime.api.dispatch import Dispatcher, Record
from app.runtime.api.errors import TASK_ID_HEADER, BadInput, UnknownTask
from app.runtime.api.preferences import MAX_WAIT_SECONDS
from app.runtime.api.watch import Watch
from app.runtime.contract import FINAL_STATES
from app.runtime.requests.cancellation import Cancellation


class StatusResource:
    """``GET /status/{task_id}``: where a prediction stands, at once or when it has ended."""

    def __init__(self, dispatcher: Dispatcher, watch: Watch, admission: Admission) -> None:
        self._dispatcher = dispatcher
        self._watch = watch
        self._admission = admission

    async def on_get(
        self, req: falcon.asgi.Request, resp: falcon.asgi.Response, task_id: str
    ) -> None:
        """Answer Celery's state and the result, or the failure's arguments."""
        wait = read_wait(req)
        record = await known_record(self._dispatcher, task_id)
        if wait and record.state not in FINAL_STATES:
            with self._admission.waiting:
                outcome = await self._watch.wait(task_id, wait)
            record = await known_record(self._dispatcher, task_id, is_redis_up=outcome is not None)
        show(resp, task_id, record)

    on_head = on_get


class CancelResource:
    """``POST /cancel/{task_id}``: see that a prediction is not made."""

    def __init__(self, dispatcher: Dispatcher, cancellation: Cancellation) -> None:
        self._dispatcher = dispatcher
        self._cancellation = cancellation

    async def on_post(
        self, req: falcon.asgi.Request, resp: falcon.asgi.Response, task_id: str
    ) -> None:
        """Answer what ``/status`` says from now on."""
        record = await known_record(self._dispatcher, task_id)
        await self._cancellation.cancel(task_id, record.state)
        show(resp, task_id, await known_record(self._dispatcher, task_id))


async def known_record(
    dispatcher: Dispatcher, task_id: str, *, is_redis_up: bool = False
) -> Record:
    """Return what is known of a task; raises UnknownTask."""
    record = await dispatcher.record(task_id, is_redis_up=is_redis_up)
    if record is None:
        raise UnknownTask(f"No task {task_id}: never given, or its result has expired")
    return record


def show(resp: falcon.asgi.Response, task_id: str, record: Record) -> None:
    """Answer what is known of a task."""
    answer = b'"status":"%b","result":%b' % (record.state.encode(), record.body)
    # Why an attempt failed is the operator's to know (`denzel callbacks`): it would tell a
    # client which addresses of the inside network answer.
    callback = {key: value for key, value in record.callback.items() if key != "last_error"}
    if callback:
        answer += b',"callback":%b' % orjson.dumps(callback)
    resp.content_type = falcon.MEDIA_JSON
    resp.data = b"{%b}" % answer
    resp.set_header(TASK_ID_HEADER, task_id)


def read_wait(req: falcon.asgi.Request) -> float:
    """Return for how many seconds the client wants to wait, 0 when it does not.

    Raises BadInput for what is no such number.
    """
    text = req.get_param("wait", default="0")
    if not (text.isascii() and text.isdigit() and float(text) <= MAX_WAIT_SECONDS):
        raise BadInput(f"wait: it takes a whole number of seconds, {MAX_WAIT_SECONDS:g} at most")
    return float(text)
