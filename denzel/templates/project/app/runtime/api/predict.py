"""``POST /predict``: verify, queue, and answer at once or with the prediction."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import AsyncGenerator
from typing import Any

import falcon
import falcon.asgi
import orjson

from app.runtime.api.access import caller
from app.runtime.api.admission import Admission
from app.runtime.api.errors import (
    TASK_ID_HEADER,
    ApiError,
    BadInput,
    BrokenPipeline,
    PredictionCancelled,
    PredictionFailed,
    PredictionTimeout,
)
from app.runtime.api.models import Models
from app.runtime.api.preferences import Preference, parse_prefer
from app.runtime.api.redis_answers import ANSWER_SECONDS
from app.runtime.api.request_body import (
    check_callback_uri,
    idempotent_body,
    parse_body,
    parse_raw_body,
    raw_callback_uri,
    read_body,
)
from app.runtime.api.streaming import (
    StreamDispatcher,
    error_event,
    events_of,
    result_event,
    set_stream,
    wants_stream,
)
from app.runtime.api.verification import NOT_RETURNED, Verifier
from app.runtime.callbacks.policy import deployment_policy
from app.runtime.contract import (
    BINARY,
    CANCELLED,
    FAILURE,
    REVOKED,
    Outcome,
    Request,
    new_task_id,
    owner_of,
    split_body,
)
from app.runtime.pipeline.raw_requests import raw_type
from app.runtime.pipeline.schemas import DENZELS_OWN
from app.runtime.requests.errors import QueueUnavailable, RequestError
from app.runtime.settings import Settings

REPLAYED_HEADER = "Idempotent-Replayed"
MODEL_HEADER = "Denzel-Model"
"""Tells the state of a model that is not there yet, where a request is accepted all the same."""
CONFIRM_SECONDS = 0.5
"""How long Redis may take to confirm a request, however little its client waits for the rest."""
IDEMPOTENCY_KEY = re.compile(r"[!-~]([ -~]{0,253}[!-~])?")
"""Printable ASCII, 255 characters at most, as other services take it."""

log = logging.getLogger("denzel.api")


class PredictResource:
    """``POST /predict``: verify, queue, and answer at once or with the prediction.

    ``streams`` tells that predict yields its answer in pieces.
    """

    def __init__(
        self,
        settings: Settings,
        dispatcher: StreamDispatcher,
        admission: Admission,
        verifier: Verifier,
        models: Models,
        *,
        streams: bool = False,
    ) -> None:
        self._streams = streams
        self._settings = settings
        self._max_body_bytes = settings.max_body_bytes  # computed each time it is asked for
        self._dispatcher = dispatcher
        self._admission = admission
        self._verify = verifier
        self._models = models
        self._policy = deployment_policy(settings)
        self._has_hinted = False

    async def on_post(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        """Answer predict's dict, or the id of the task that will make it."""
        json_data, requested_uri, body = await self._read(req)
        key = read_idempotency_key(req)
        payload, verified_uri = await self._verify(json_data)
        preference = parse_prefer(req.get_header("Prefer"))
        if preference.applied:
            resp.set_header("Preference-Applied", preference.applied)
        resp.content_type = falcon.MEDIA_JSON
        owner = owner_of(caller(req))
        streams = (
            self._streams
            and key is None
            and not preference.respond_async
            and wants_stream(req.accept)
        )
        is_async = not streams and self._answers_async(preference)
        wait = self._wait(preference, is_async)
        uri = requested_uri if verified_uri is NOT_RETURNED else verified_uri
        callback_uri = check_callback_uri(uri, self._policy) if is_async else None
        if not is_async:
            await self._models.require()
        elif (missing := await self._models.missing()) is not None:
            resp.set_header(MODEL_HEADER, missing.state.rstrip("."))
        self._admission.admit(len(payload))
        if streams:
            events = self._stream(resp, payload, owner, wait or 0.0)
            await anext(events)  # to its first piece: until then errors are answered as ever
            set_stream(resp, events)
            return
        if not is_async and key is None:
            await self._predict(resp, payload, owner, wait or 0.0)
            return
        request = Request(new_task_id(), payload, owner, callback_uri)
        full_key = None if key is None else callers_key(caller(req), key)
        if wait is None:
            resp.data = accepted(await self._submit(resp, request, full_key, body, ANSWER_SECONDS))
            return
        with self._admission.waiting:
            started = time.monotonic()
            within = min(max(wait, CONFIRM_SECONDS), ANSWER_SECONDS)
            task_id = await self._submit(resp, request, full_key, body, within)
            left = wait - (time.monotonic() - started)
            show_body(resp, await self._answer(task_id, left, wait, is_async))

    async def _read(self, req: falcon.asgi.Request) -> tuple[Any, Any, bytes]:
        """Return what verify_input is called for, its callback_uri, and what a key stands for.

        Raises ApiError for what cannot be read.
        """
        body = await read_body(req, self._max_body_bytes)
        if self._verify.takes_raw_requests and (content_type := raw_type(req.content_type)):
            request = await parse_raw_body(body, content_type, req)
            return request, raw_callback_uri(request, req), idempotent_body(request, body, req)
        json_data = parse_body(body, self._settings.max_json_depth, req)
        return json_data, json_data.get(DENZELS_OWN), body

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
        return prediction(task_id, outcome, timeout, self._settings.api_prefix)

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
        self,
        resp: falcon.asgi.Response,
        request: Request,
        key: str | None,
        body: bytes,
        seconds: float,
    ) -> str:
        """Queue a request durably, once for each key; return the id it has there."""
        task_id = request.id
        if key is None:
            await self._dispatcher.submit(request, seconds)
        else:
            claim = await self._dispatcher.submit_once(request, key, body, seconds)
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

    def _answers_async(self, preference: Preference) -> bool:
        """Tell how to answer: as the request prefers, else as the deployment is set."""
        if preference.respond_async or preference.wait is not None:
            return preference.respond_async
        return self._dispatcher.response_mode.is_async

    def _wait(self, preference: Preference, is_async: bool) -> float | None:
        """Return for how many seconds the client waits for its prediction; None: not at all."""
        if preference.wait is not None or is_async:
            return preference.wait
        return self._dispatcher.response_mode.timeout


class BrokenPredictResource:
    """Stands in for ``/predict`` when the pipeline cannot be imported."""

    def __init__(self, reason: str) -> None:
        self._reason = reason

    async def on_post(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        """Answer what is wrong with the pipeline."""
        raise BrokenPipeline(self._reason)


def read_idempotency_key(req: falcon.asgi.Request) -> str | None:
    """Return the request's ``Idempotency-Key``; raises BadInput for one that cannot be used."""
    key = req.get_header("Idempotency-Key")
    if key is not None and not IDEMPOTENCY_KEY.fullmatch(key):
        raise BadInput("Idempotency-Key: it takes 1 to 255 printable ASCII characters")
    return key


def callers_key(name: str, key: str) -> str:
    """Return the name under which a caller's Idempotency-Key is stored; no other caller's is."""
    return f"{len(name)} {name} {key}"


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
