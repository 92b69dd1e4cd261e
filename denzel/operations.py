"""The verbs: one function a command.  They print nothing and ask nothing."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from denzel.backends import choose
from denzel.backends.base import Backend, LogLine, Report
from denzel.backends.log_files import follow_logs, read_logs
from denzel.client import Answer, Client, api_url, monitor_url, parse_body
from denzel.errors import DenzelError, EngineError, ProjectError, ServiceError, UsageError
from denzel.polling import polls
from denzel.ports import check_ports, free_port
from denzel.project import Project
from denzel.services import NOT_LAUNCHED, State, Status

ALREADY_LAUNCHED = 'Project already launched! Did you mean to run "denzel start"?'
LOCAL = "local"

CHECK_TIMEOUT_SECONDS = 60.0
POLL_SECONDS = 0.5
GRACE_SECONDS = 5.0
"""How long an ERROR, or a service DOWN, must last before waiting is given up: a service that
is being restarted passes through both."""


@dataclass(frozen=True)
class Deployment:
    """What was launched: the backend's name and where to find the services."""

    backend: str
    api_url: str
    monitor_url: str


def silent(_line: str) -> None:
    """Take a line of progress that nobody wants to see."""


def launch(
    project: Project,
    *,
    backend: str | None,
    api_port: int | None,
    monitor_port: int | None,
    report: Report,
) -> Deployment:
    """Create and start every service of ``project``.

    ``backend`` is ``local``, ``docker`` or None (let denzel choose); a port that is None is the
    one ``.env`` names.  On failure the project is left as it was.
    """
    _refuse_exposure(project)
    ports = _wanted_ports(project, api_port, monitor_port)
    with project.changing():
        _forget_lost_deployment(project, backend)
        chosen = choose(project, backend, report)
        if chosen.launched():
            raise ProjectError(ALREADY_LAUNCHED)
        chosen.preflight()
        check_ports({f"--{name}-port": port for name, port in ports.items()})
        with _undone_on_failure(project, chosen):
            project.set_environment(**{f"{name.upper()}_PORT": str(n) for name, n in ports.items()})
            project.record_backend(chosen.name)
            chosen.up()
    return deployment(project, chosen)


def deployment(project: Project, backend: Backend) -> Deployment:
    """Return where the services of ``project`` are found."""
    return Deployment(backend.name, api_url(project.settings), monitor_url(project.settings))


def start(project: Project, *, report: Report) -> None:
    """Start the stopped services."""
    _refuse_exposure(project)
    with project.changing():
        backend = launched_backend(project, report)
        if not backend.running():
            ports = _wanted_ports(project, None, None)
            check_ports(
                {f"--{name}-port": port for name, port in ports.items()},
                remedy="Free it, or `denzel shutdown` and launch again",
            )
        backend.start()


def stop(project: Project, *, report: Report) -> None:
    """Stop the services; queue, results and response mode stay."""
    with project.changing():
        launched_backend(project, report).stop()


def restart(project: Project, *, report: Report) -> None:
    """Stop and start the services, so that changed code and settings take effect."""
    _refuse_exposure(project)
    with project.changing():
        launched_backend(project, report).restart()


def shutdown(project: Project, *, purge: bool, report: Report) -> None:
    """Stop and remove the services; with ``purge`` everything they left behind, too.

    Also cleans up after a launch that was killed halfway.
    """
    with project.changing():
        recorded = project.manifest.backend
        chosen = choose(project, None, report)
        chosen.down(purge=purge)
        if recorded is None and chosen.name != LOCAL:
            _shut_down_unrecorded_local(project, purge, report)
        project.record_backend(None)


def status(project: Project) -> Status | None:
    """Return the state of every service and worker; None when the project is not launched."""
    backend = choose(project, None, silent)
    return backend.status() if backend.launched() else None


def statuses(project: Project) -> Iterator[Status | None]:
    """Yield the project's status again and again, for as long as it is asked for."""
    backend = choose(project, None, silent)
    for _ in polls(POLL_SECONDS):
        yield backend.status() if backend.launched() else None


def wait_until_ready(project: Project, *, timeout: float, seen: Callable[[Status], None]) -> Status:
    """Return once every line of the status is UP; ``seen`` is called with each status.

    Raises ServiceError when a service fails, all are stopped, or ``timeout`` seconds pass.
    """
    backend = launched_backend(project, silent)
    hopeless_polls = 0
    current = backend.status()
    for _ in polls(POLL_SECONDS, timeout=timeout):
        current = backend.status()
        seen(current)
        if current.ready:
            return current
        hopeless_polls = hopeless_polls + 1 if _hopeless(current) else 0
        if hopeless_polls * POLL_SECONDS >= GRACE_SECONDS:
            raise ServiceError(_hopeless(current))
    waited_for = ", ".join(
        f"{line.name} is {line.state.rstrip('.')}"
        for line in current.lines
        if line.state is not State.UP
    )
    raise ServiceError(
        f"Not ready after {timeout:g} s ({waited_for or 'no worker has registered'}); "
        "`denzel status --live` goes on watching, `denzel logs` shows what they are doing"
    )


def logs(
    project: Project, service: str | None, *, follow: bool, tail: int | None
) -> Iterator[LogLine]:
    """Yield what ``service`` wrote, or all services when it is None."""
    backend = launched_backend(project, silent)
    names = [line.name for line in backend.status().services]
    if service is not None and service not in names:
        raise ServiceError(f"There is no service {service!r}; there are {', '.join(names)}")
    return backend.logs(names if service is None else [service], follow=follow, tail=tail)


def worker_log(project: Project, *, follow: bool) -> Iterator[str]:
    """Yield the lines of ``logs/worker.log``; with ``follow`` across rotations, for ever."""
    path = project.logs / "worker.log"
    if not follow and not path.exists():
        raise ProjectError(
            f"{path} is not there yet: the worker has not been started. `denzel launch` starts it"
        )
    files = {"worker": path}
    lines = follow_logs(files, None) if follow else read_logs(files, None)
    return (line.text for line in lines)


def shell(project: Project, service: str) -> int:
    """Open an interactive bash in ``service``; return its exit code."""
    return launched_backend(project, silent).shell(service)


def update(project: Project, *, pip: bool, os: bool, report: Report) -> None:
    """Install changed requirements in the running services, then restart them once."""
    with project.changing():
        backend = launched_backend(project, report)
        if not backend.running():
            raise ServiceError("The services are stopped; run `denzel start` first")
        backend.install(pip=pip, os=os)
        backend.restart()


def set_response(project: Project, *, synchronous: bool, timeout: float) -> None:
    """Choose how ``/predict`` answers from the next request on; ``timeout`` in seconds."""
    arguments = ["--sync", "--timeout", str(timeout)] if synchronous else ["--async"]
    launched_backend(project, silent).run("api", "app.runtime.admin", "response", *arguments)


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


def predict(
    project: Project,
    body: bytes,
    *,
    source: str,
    wait_async: bool,
    timeout: float,
    waiting: Callable[[str, str], None],
    key: str = "",
) -> Answer:
    """Return the running API's answer to ``body``, which came from ``source``.

    ``key`` is an API key, for a deployment that asks for one.
    With ``wait_async`` the prediction is queued and its result asked for until it is there.
    """
    client = Client(api_url(project.settings), timeout=timeout, key=key)
    body = parse_body(body, source)
    return client.predict_async(body, waiting) if wait_async else client.predict(body)


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
    answer = choose(project, backend, report).check(
        sample, "--timeout", str(timeout), "--repeat", str(repeat)
    )
    try:
        result = json.loads(answer)
    except ValueError as error:
        raise ServiceError(f"The check gave no report but: {answer[-500:]}") from error
    return dict(result)


def launched_backend(project: Project, report: Report) -> Backend:
    """Return the backend that runs ``project``; raises ServiceError when none does."""
    backend = choose(project, None, report)
    if not backend.launched():
        raise ServiceError(NOT_LAUNCHED)
    return backend


def available_ports(project: Project) -> dict[str, int]:
    """Return the ports ``.env`` names, each replaced by the next free one when it is taken."""
    api = free_port(project.settings.api_port)
    return {"api_port": api, "monitor_port": free_port(project.settings.monitor_port, avoid=[api])}


def _refuse_exposure(project: Project) -> None:
    """Raise UsageError when the monitor would be shown to whoever comes along."""
    if project.settings.exposure:
        raise UsageError(f"In {project.env_file}: {project.settings.exposure}")


def _wanted_ports(
    project: Project, api_port: int | None, monitor_port: int | None
) -> dict[str, int]:
    settings = project.settings
    return {
        "api": settings.api_port if api_port is None else api_port,
        "monitor": settings.monitor_port if monitor_port is None else monitor_port,
    }


def _forget_lost_deployment(project: Project, wanted: str | None) -> None:
    """Clear a record that is no longer true: the project was copied, or its engine is gone."""
    recorded = project.manifest.backend
    if recorded is None:
        return
    try:
        launched = choose(project, None, silent).launched()
    except EngineError:
        if wanted in (None, recorded):
            raise
        launched = False
    if launched:
        raise ProjectError(ALREADY_LAUNCHED)
    project.record_backend(None)


@contextmanager
def _undone_on_failure(project: Project, backend: Backend) -> Iterator[None]:
    """Put ``.env`` and the manifest back when what happens inside fails or is interrupted.

    The record stays if something was left running, so that shutdown knows where to look.
    """
    before = project.env_file.read_bytes() if project.env_file.exists() else None
    try:
        yield
    except BaseException:
        if not _still_launched(backend):
            if before is None:
                project.env_file.unlink(missing_ok=True)
            else:
                project.env_file.write_bytes(before)
            project.forget()
            project.record_backend(None)
        raise


def _still_launched(backend: Backend) -> bool:
    try:
        return backend.launched()
    except DenzelError:
        return False  # an engine that cannot be asked runs nothing


def _shut_down_unrecorded_local(project: Project, purge: bool, report: Report) -> None:
    """Clean up local processes that no record mentions: their launch or record was lost."""
    if not project.private.exists():
        return
    try:
        choose(project, LOCAL, report).down(purge=purge)
    except EngineError as error:
        report(f"Local processes were not looked at: {error}")


def _hopeless(current: Status) -> str:
    """Return why waiting longer is in vain; empty when it is not."""
    if current.failures:
        reasons = "; ".join(f"{line.name}: {line.detail or 'failed'}" for line in current.failures)
        return f"{reasons}\n`denzel logs` and `denzel logworker` show more"
    down = [service.name for service in current.services if service.state is State.DOWN]
    # While others are on their way up, one that is down may still be waiting for them.
    if down and all(service.state in (State.DOWN, State.UP) for service in current.services):
        return f"Stopped: {', '.join(down)}; `denzel start` starts what is stopped"
    return ""
