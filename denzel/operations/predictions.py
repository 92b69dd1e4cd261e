"""What concerns requests: ask the API, try the pipeline, set the response mode, see callbacks."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from denzel import backends
from denzel.backends.base import Report
from denzel.errors import CommandError, ServiceError, UsageError
from denzel.operations.api import project_api
from denzel.operations.deployment import check_settings, launched_backend, silent
from denzel.project import Project

if TYPE_CHECKING:
    from denzel.client import Task

CHECK_TIMEOUT_SECONDS = 60.0


def predict(project: Project, body: bytes, *, source: str, timeout: float, key: str = "") -> Any:
    """Return the running API's prediction for ``body``, which came from ``source``.

    It is waited for, whatever the response mode is, for ``timeout`` seconds.  ``key`` is an API
    key, for a deployment that asks for one.
    """
    body = parse_body(body, source)
    with project_api(project, key, timeout=timeout) as api:
        return api.predict(body)


def submit(project: Project, body: bytes, *, source: str, key: str = "") -> str:
    """Queue ``body``, which came from ``source``; return its task's id."""
    body = parse_body(body, source)
    with project_api(project, key) as api:
        return api.submit(body)


def result(project: Project, task_id: str, *, wait: float, key: str = "") -> Any:
    """Return the prediction of a task, once it is made; ``wait`` seconds at most."""
    with project_api(project, key) as api:
        return api.result(task_id, timeout=wait)


def task(project: Project, task_id: str, *, wait: float, key: str = "") -> Task:
    """Return where a task stands: once it has ended, or after ``wait`` seconds."""
    with project_api(project, key) as api:
        return api.status(task_id, wait=wait)


def parse_body(text: bytes, source: str) -> bytes:
    """Return ``text`` if it is JSON; raise UsageError, naming ``source``, if it is not."""
    try:
        json.loads(text)
    except RecursionError:
        return text  # it may well be JSON; the API says how deep it may be nested
    except ValueError as error:
        raise UsageError(f"{source} does not hold JSON: {error}") from error
    return text


def check(
    project: Project,
    sample: bytes | None,
    *,
    source: str,
    backend: str | None = None,
    timeout: float = CHECK_TIMEOUT_SECONDS,
    repeat: int = 0,
    report: Report,
) -> dict[str, Any]:
    """Run the pipeline without services; return its report.

    ``backend`` is as for :func:`launch`, ``timeout`` bounds each step, in seconds, and ``repeat``
    is how many more predictions are made and timed.
    """
    if sample is not None:
        sample = parse_body(sample, source)
    check_settings(project, report)
    answer = backends.choose(project, backend, report).check(
        sample, "--timeout", str(timeout), "--repeat", str(repeat)
    )
    try:
        result = json.loads(answer)
    except ValueError as error:
        raise ServiceError(f"The check gave no report but: {answer[-500:]}") from error
    return dict(result)


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


def example(project: Project) -> bytes:
    """Return the request that the deployed pipeline has as its EXAMPLE."""
    answer = launched_backend(project, silent).run("api", "app.runtime.pipeline.trial")
    if answer.strip() == "null":
        raise UsageError(
            "Give a file with a request, or define EXAMPLE in app/logic/pipeline.py: "
            "a dictionary, which `denzel predict` sends when it is given no file"
        )
    return answer.encode()


@contextmanager
def _refusals_in_its_words() -> Iterator[None]:
    """Tell what the deployment's own administration refuses without the command that was run."""
    try:
        yield
    except CommandError as error:
        if not error.said or "Traceback" in error.said:
            raise
        raise ServiceError(error.said.splitlines()[-1]) from error
