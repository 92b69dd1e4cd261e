"""``POST /predict``: verify, queue, and answer at once or with the prediction."""

from __future__ import annotations

import logging
import time
from collections.abc import AsyncGenerator

import falcon
import falcon.asgi
import orjson

from app.runtime.api.admission import Admission
from app.runtime.api.calls import Call, CallReader, callers_key
from app.runtime.api.errors import (
    TASK_ID_HEADER,
    ApiError,
    BrokenPipeline,
    PredictionCancelled,
    PredictionFailed,
    PredictionTimeout,
)
from app.runtime.api.models import Models
from app.runtime.api.redis_answers import ANSWER_SECONDS
from app.runtime.api.streaming import (
    StreamDispatcher,
    error_event,
    events_of,
    result_event,
    set_stream,
)
from app.runtime.contract import (
    BINARY,
    CANCELLED,
    FAILURE,
    REVOKED,
    Outcome,
    Request,
    new_task_id,
    split_body,
)
from app.runtime.requests.errors import QueueUnavailable, RequestError

REPLAYED_HEADER = "Idempotent-Replayed"
MODEL_HEADER = "Denzel-Model"
"""Tells the state of a model that is not there yet, where a request is accepted all the same."""
CONFIRM_SECONDS = 0.5
"""How long Redis may take to confirm a request, however little its client waits for the rest."""

log = logging.getLogger("denzel.api")


class PredictResource:
    """``POST /predict``: verify, queue, and answer at once or with the prediction.

    ``prefix`` is the path that the API is published under.
    """

    def __init__(
        self,
        reader: CallReader,
        dispatcher: StreamDispatcher,
        admission: Admission,
        models: Models,
        prefix: str,
    ) -> None:
        self._reader = reader
        self._dispatcher = dispatcher
        self._admission = admission
        self._models = models
        self._prefix = prefix
        self._has_hinted = False

    async def on_post(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        """Answer predict's dict, or the id of the task that will make it."""
        call = await self._reader.read(req)
        if call.preference.applied:
            resp.set_header("Preference-Applied", call.preference.applied)
        resp.content_type = falcon.MEDIA_JSON
        await self._check_model(resp, is_async=call.is_async)
        self._admission.admit(len(call.payload))
        if call.streams:
            await self._answer_with_stream(resp, call)
        elif call.is_async or call.key is not None:
            await self._answer_durably(resp, call)
        else:
            await self._predict(resp, call.payload, call.owner, call.wait or 0.0)

    async def _check_model(self, resp: falcon.asgi.Response, *, is_async: bool) -> None:
        """Raise ModelUnavailable while no worker can predict; an asynchronous request can wait."""
        if not is_async:
            await self._models.require()
        elif (missing := await self._models.missing()) is not None:
            resp.set_header(MODEL_HEADER, missing.state.rstrip("."))

    async def _answer_with_stream(self, resp: falcon.asgi.Response, call: Call) -> None:
        """Answer with the events of a prediction; until its first piece errors are as ever."""
        events = self._stream(resp, call.payload, call.owner, call.wait or 0.0)
        await anext(events)
        set_stream(resp, events)

    async def _answer_durably(self, resp: falcon.asgi.Response, call: Call) -> None:
        """Accept a request, and answer with its prediction if its client waits for that."""
        request = Request(new_task_id(), call.payload, call.owner, call.callback_uri)
        if call.wait is None:
            resp.data = accepted(await self._submit(resp, request, call, ANSWER_SECONDS))
            return
        with self._admission.waiting:
            started = time.monotonic()
            within = min(max(call.wait, CONFIRM_SECONDS), ANSWER_SECONDS)
            task_id = await self._submit(resp, request, call, within)
            left = call.wait - (time.monotonic() - started)
            show_body(resp, await self._answer(task_id, left, call.wait, call.is_async))

    async def _predict(
        self, resp: falcon.asgi.Response, payload: bytes, owner: str, timeout: float
    ) -> None:
        with self._admission.waiting:
            task_id, outcome = await self._dispatcher.predict(payload, owner, timeout)
        resp.set_header(TASK_ID_HEADER, task_id)
        if outcome is None:
            self._hint(timeout)
        show_body(resp, self._body(task_id, outcome, timeout))

    async def _stream(
        self, resp: falcon.asgi.Response, payload: bytes, owner: str, timeout: float
    ) -> AsyncGenerator[bytes, None]:
        """Yield nothing once there is something to answer, then the events of a prediction.

        Raises what goes wrong before; afterwards that is an event.
        """
        with self._admission.waiting:
            waiter = self._dispatcher.open_stream(payload, owner, timeout)
            resp.set_header(TASK_ID_HEADER, waiter.task_id)
            del resp  # which will hold this generator: together they would be garbage for long
            body = None
            try:
                await waiter.wait()
                if not waiter.received:  # it ended before its first piece
                    outcome = await self._dispatcher.outcome_of(waiter)
                    if outcome is None:
                        self._hint(timeout)
                    body = self._body(waiter.task_id, outcome, timeout)
                yield b""
                if body is None:
                    async for events in events_of(waiter):
                        yield events
                    outcome = await self._dispatcher.outcome_of(waiter)
                    body = self._body(waiter.task_id, outcome, timeout)
                yield result_event(body)
            except (ApiError, RequestError) as error:
                if not waiter.received:
                    raise
                yield error_event(error)
            finally:
                self._dispatcher.close_stream(waiter)

    def _body(self, task_id: str, outcome: Outcome | None, timeout: float) -> bytes:
        return prediction(task_id, outcome, timeout, self._prefix)

    def _hint(self, timeout: float) -> None:
        """Say once what to do about predictions that take longer than their clients wait."""
        if not self._has_hinted:
            self._has_hinted = True
            log.warning(
                "A prediction was not made within %g s. If that is what yours take, answer "
                "asynchronously (denzel response --async) or wait longer (denzel response --sync "
                "--timeout SECONDS)", timeout,
            )  # fmt: skip

    async def _submit(
        self, resp: falcon.asgi.Response, request: Request, call: Call, seconds: float
    ) -> str:
        """Queue a request durably, once for each key; return the id it has there."""
        task_id = request.id
        if call.key is None:
            await self._dispatcher.submit(request, seconds)
        else:
            key = callers_key(call.caller, call.key)
            claim = await self._dispatcher.submit_once(request, key, call.body, seconds)
            task_id = claim.task_id
            if not claim.is_new:
                resp.set_header(REPLAYED_HEADER, "true")
        resp.set_header(TASK_ID_HEADER, task_id)
        return task_id

    async def _answer(self, task_id: str, left: float, wait: float, is_async: bool) -> bytes:
        """Return what is answered to a client that waits for an accepted request.

        ``left`` of its ``wait`` seconds are left.
        """
        try:
            outcome = await self._dispatcher.wait(task_id, max(left, 0.0))
        except QueueUnavailable:
            if not is_async:
                raise
            outcome = None  # it is accepted, which is what the client was promised to be told
        if outcome is None and is_async:
            return accepted(task_id)
        return self._body(task_id, outcome, wait)


class BrokenPredictResource:
    """Stands in for ``/predict`` when the pipeline cannot be imported."""

    def __init__(self, reason: str) -> None:
        self._reason = reason

    async def on_post(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        """Answer what is wrong with the pipeline."""
        raise BrokenPipeline(self._reason)


def show_body(resp: falcon.asgi.Response, body: bytes) -> None:
    """Answer an outcome's body, which is JSON or says what it is."""
    if body[:1] == BINARY:
        resp.content_type, start = split_body(body)
        body = body[start:]
    resp.data = body


def accepted(task_id: str) -> bytes:
    """Return the body that says a request was queued."""
    return b'{"status":"success","data":{"task_id":"%b"}}' % task_id.encode()


def prediction(task_id: str, outcome: Outcome | None, timeout: float, prefix: str = "") -> bytes:
    """Return a prediction as it was serialised in the worker; raises what went wrong.

    ``prefix`` is the path that the API is published under.
    """
    if outcome is None:
        raise PredictionTimeout(
            f"No prediction within {timeout:g} s; ask for it at {prefix}/status/{task_id}",
            task_id=task_id,
        )
    if outcome.state == REVOKED and outcome.body != CANCELLED:
        raise PredictionTimeout(
            f"No prediction within {timeout:g} s: it was not begun in time", task_id=task_id
        )
    if outcome.state == REVOKED:
        raise PredictionCancelled("The task was cancelled", task_id=task_id)
    if outcome.state == FAILURE:
        raise failed(outcome.body)
    return outcome.body


def failed(body: bytes) -> PredictionFailed:
    """Return the error of a prediction that raised, of which ``body`` tells."""
    failure = orjson.loads(body)
    message = ", ".join(str(argument) for argument in failure["args"])
    return PredictionFailed(f"{failure['type']}: {message}" if message else failure["type"])
