"""Every error the API answers, on one page: HTTP status, title, and what else goes with it.

The body of each is JSON ``{"title", "description"}``.
"""

from __future__ import annotations

from typing import Any, ClassVar

import falcon
import orjson

from app.runtime.api.answer_log import log_answer
from app.runtime.requests.errors import (
    KeyReused,
    NotCancelled,
    QueueFull,
    QueueUnavailable,
    RequestError,
    WorkerLost,
)

TASK_ID_HEADER = "Denzel-Task-Id"
RETRY_AFTER_SECONDS = 5


class ApiError(Exception):
    """An answer that is not a prediction; subclasses give status and title."""

    status = 500
    title = "Internal error"
    headers: ClassVar[dict[str, str]] = {}

    def __init__(self, description: str, **extra: Any) -> None:
        super().__init__(description)
        self.body = {"title": self.title, "description": description, **extra}


class MalformedJson(ApiError):
    """The body is not JSON, or nested deeper than the settings allow."""

    status = 400
    title = "Malformed JSON"


class BadInput(ApiError):
    """verify_input raised; the description is its message."""

    status = 400
    title = "Bad input format"


class BodyTooLarge(ApiError):
    """The body exceeds MAX_BODY_MB."""

    status = 413
    title = "Body too large"


class UnknownEncoding(ApiError):
    """The body is compressed in a way that is not understood."""

    status = 415
    title = "Unknown encoding"
    headers: ClassVar[dict[str, str]] = {"Accept-Encoding": "gzip, deflate"}


class UnknownHost(ApiError):
    """An API bound to loopback was asked under a name that a stranger may have given it."""

    status = 403
    title = "Unknown host"


class ForeignOrigin(ApiError):
    """A page of another site sent the request; CORS_ORIGINS does not name it."""

    status = 403
    title = "Foreign origin"


class UnknownTask(ApiError):
    """No record of this id: it was never given, or its result has expired."""

    status = 404
    title = "Unknown task"


class NoResultYet(ApiError):
    """The result of a task was asked for that has not ended."""

    status = 404
    title = "No result yet"


class TooManyWaiting(ApiError):
    """MAX_WAITING clients wait for an answer of this API process."""

    status = 503
    title = "Too many waiting"


class ModelUnavailable(ApiError):
    """No worker has its model: it is being loaded, or load_model raised."""

    status = 503
    title = "Model unavailable"


class PredictionCancelled(ApiError):
    """Somebody cancelled the request while its client waited."""

    status = 409
    title = "Prediction cancelled"


class Unauthorized(ApiError):
    """No API key, or not a known one."""

    status = 401
    title = "Unauthorized"
    headers: ClassVar[dict[str, str]] = {"WWW-Authenticate": 'Bearer realm="denzel"'}


class PredictionTimeout(ApiError):
    """A synchronous answer did not come in time; its task goes on and can be asked for."""

    status = 504
    title = "Prediction timed out"


class StreamCut(ApiError):
    """The rest of an answer in pieces cannot be told."""

    status = 500
    title = "Stream cut off"


class PredictionFailed(ApiError):
    """process or predict raised; the description is the exception's type and message."""

    status = 500
    title = "Prediction failed"


class BrokenPipeline(ApiError):
    """app/logic/pipeline.py itself is at fault, not the request."""

    status = 500
    title = "Broken pipeline"


REQUEST_ERRORS: dict[type[RequestError], tuple[int, str]] = {
    QueueUnavailable: (503, "Queue unavailable"),
    QueueFull: (503, "Queue full"),
    WorkerLost: (503, "Worker lost"),
    KeyReused: (422, "Idempotency-Key reused"),
    NotCancelled: (409, "Not cancelled"),
}
"""Status and title of what a request could not be accepted, found or cancelled for."""


async def answer_error(
    req: falcon.Request, resp: falcon.Response, error: ApiError | RequestError, params: Any
) -> None:
    """Turn an error into its response; whatever is answered 503 may be asked for again soon."""
    body = body_of(error)
    if isinstance(error, ApiError):
        status = error.status
        resp.set_headers(error.headers)
    else:
        status, _ = REQUEST_ERRORS[type(error)]
    if status == 503:
        resp.set_header("Retry-After", str(RETRY_AFTER_SECONDS))
    task_id = body.get("task_id") or resp.get_header(TASK_ID_HEADER) or ""
    _answer(req, resp, status, body, task_id)


def body_of(error: ApiError | RequestError) -> dict[str, Any]:
    """Return the body of the response to an error."""
    if isinstance(error, ApiError):
        return error.body
    _, title = REQUEST_ERRORS[type(error)]
    state = {"status": error.state} if isinstance(error, NotCancelled) else {}
    return {"title": title, "description": str(error), **state}


def serialize_http_error(
    req: falcon.Request, resp: falcon.Response, error: falcon.HTTPError
) -> None:
    """Give Falcon's own errors (404, 405, …) the same JSON form."""
    body = {"title": error.title, "description": error.description or _describe(req, error)}
    _answer(req, resp, error.status_code, body)


def _answer(
    req: falcon.Request, resp: falcon.Response, status: int, body: dict[str, Any], task_id: str = ""
) -> None:
    resp.status = status
    resp.data = orjson.dumps(body)
    resp.content_type = falcon.MEDIA_JSON
    title = (body["title"] or "").removeprefix(f"{status} ")
    log_answer(req.method, sent_path(req), status, title, task_id, client=client_address(req))


def sent_path(req: falcon.Request) -> str:
    """Return the path as the client sent it: still encoded, so it has no line ends."""
    return bytes(req.scope["raw_path"]).decode("ascii")  # type: ignore[attr-defined]


def client_address(req: falcon.Request) -> str:
    """Return the client's address: the peer's, or what a trusted proxy says of it."""
    client = req.scope.get("client")  # type: ignore[attr-defined]
    return str(client[0]) if client else ""


def _describe(req: falcon.Request, error: falcon.HTTPError) -> str:
    if isinstance(error, falcon.HTTPMethodNotAllowed):
        allowed = dict(error.headers or {}).get("Allow", "")
        return f"{req.method} is not among what {req.path} answers: {allowed}"
    if isinstance(error, falcon.HTTPNotFound):
        return f"There is nothing at {req.path}"
    return ""
