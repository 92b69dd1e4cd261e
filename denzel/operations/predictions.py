"""What concerns requests: ask the API, try the pipeline, set the response mode, see callbacks."""

from __future__ import annotations

import json
import mimetypes
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

from denzel import backends
from denzel.backends.base import Report
from denzel.errors import CommandError, ServiceError, UsageError
from denzel.operations.api import project_api
from denzel.operations.deployment import check_settings, launched_backend, silent
from denzel.operations.trial import CHECK_TIMEOUT_SECONDS, check_options, read_report
from denzel.project import Project

if TYPE_CHECKING:
    from denzel.client import Stream, Task

JSON = "application/json"


class RequestBody(NamedTuple):
    """A request to be sent; its ``content_type`` is JSON's unless it is something else."""

    content: bytes
    content_type: str = JSON


def predict(project: Project, request: RequestBody, *, timeout: float, key: str = "") -> Any:
    """Return the running API's prediction for a request; bytes where it is not JSON.

    It is waited for, whatever the response mode is, for ``timeout`` seconds.  ``key`` is an API
    key, for a deployment that asks for one.
    """
    with project_api(project, key, timeout=timeout) as api:
        return api.predict(request.content, content_type=request.content_type)


@contextmanager
def stream(
    project: Project, request: RequestBody, *, timeout: float, key: str = ""
) -> Iterator[Stream]:
    """Give the running API's prediction piece by piece, the first within ``timeout`` seconds."""
    with (
        project_api(project, key, timeout=timeout) as api,
        api.stream(request.content, content_type=request.content_type) as pieces,
    ):
        yield pieces


def submit(project: Project, request: RequestBody, *, key: str = "") -> str:
    """Queue a request; return its task's id."""
    with project_api(project, key) as api:
        return api.submit(request.content, content_type=request.content_type)


def result(project: Project, task_id: str, *, wait: float, key: str = "") -> Any:
    """Return the prediction of a task, once it is made; ``wait`` seconds at most."""
    with project_api(project, key) as api:
        return api.result(task_id, timeout=wait)


def task(project: Project, task_id: str, *, wait: float, key: str = "") -> Task:
    """Return where a task stands: once it has ended, or after ``wait`` seconds."""
    with project_api(project, key) as api:
        return api.status(task_id, wait=wait)


def read_request(content: bytes, source: str, content_type: str | None = None) -> RequestBody:
    """Return what is read from a file called ``source`` as a request.

    Without a ``content_type`` it is JSON, or else what the file's name says.  Raises UsageError for
    what is neither.
    """
    if content_type and content_type != JSON:
        return RequestBody(content, content_type)
    try:
        json.loads(content)
    except RecursionError:
        pass  # it may well be JSON; the API says how deep it may be nested
    except ValueError as error:
        guessed = None if content_type else mimetypes.guess_type(source)[0]
        if guessed and guessed != JSON:
            return RequestBody(content, guessed)
        hint = "" if content_type or guessed else "; --content-type tells what else it is"
        raise UsageError(f"{source} does not hold JSON: {error}{hint}") from error
    return RequestBody(content)


def check(
    project: Project,
    sample: RequestBody | None,
    *,
    backend: str | None = None,
    timeout: float = CHECK_TIMEOUT_SECONDS,
    repeat: int = 0,
    report: Report,
) -> dict[str, Any]:
    """Run the pipeline without services; return its report.

    ``backend`` is as for :func:`launch`, ``timeout`` bounds each step, in seconds, and ``repeat``
    is how many more predictions are made and timed.
    """
    check_settings(project, report, monitor=False)
    content = None if sample is None else sample.content
    options = [*check_options(timeout, content or b""), "--repeat", str(repeat)]
    if sample is not None and sample.content_type != JSON:
        options += ["--content-type", sample.content_type]
    return read_report(backends.choose(project, backend, report).check(content, *options))


def set_response(project: Project, *, synchronous: bool, timeout: float) -> None:
    """Choose how ``/predict`` answers from the next request on; ``timeout`` in seconds."""
    arguments = ["--sync", "--timeout", str(timeout)] if synchronous else ["--async"]
    backend = launched_backend(project, silent)
    with _refusals_in_its_words():
        backend.run_bare("api", "app.runtime.admin", "response", *arguments)


def undelivered_callbacks(project: Project) -> list[dict[str, Any]]:
    """Return the callbacks still to be delivered, and those given up but kept."""
    return [dict(callback) for callback in _callbacks(project)]


def retry_callbacks(project: Project, which: str) -> int:
    """Send the callback of a task again, or all undelivered ones; return how many."""
    return int(_callbacks(project, "--retry", which)["count"])


def drop_callbacks(project: Project, which: str) -> int:
    """Forget the callback of a task, or all undelivered ones; return how many."""
    return int(_callbacks(project, "--drop", which)["count"])


def _callbacks(project: Project, *arguments: str) -> Any:
    backend = launched_backend(project, silent)
    with _refusals_in_its_words():
        answer = backend.run("api", "app.runtime.admin", "callbacks", *arguments)
    try:
        return json.loads(answer)
    except ValueError as error:
        raise ServiceError(f"The callbacks cannot be read from: {answer[-500:]}") from error


def example(project: Project) -> RequestBody:
    """Return the request that the deployed pipeline has as its EXAMPLE."""
    answer = launched_backend(project, silent).run("api", "app.runtime.pipeline.trial")
    if answer.strip() == "null":
        raise UsageError(
            "Give a file with a request, or define EXAMPLE in app/logic/pipeline.py: "
            "a dictionary or a file's Path, which `denzel predict` sends when it is given no file"
        )
    value = json.loads(answer)
    if not isinstance(value, str):
        return RequestBody(answer.encode())
    try:
        return read_request((project.root / value).read_bytes(), value)
    except OSError as error:
        raise UsageError(f"EXAMPLE cannot be read: {error}") from error


@contextmanager
def _refusals_in_its_words() -> Iterator[None]:
    """Tell what the deployment's own administration refuses without the command that was run."""
    try:
        yield
    except CommandError as error:
        if not error.said or "Traceback" in error.said:
            raise
        raise ServiceError(error.said.splitlines()[-1]) from error
