"""What looks at a deployment: its state, its logs, its inside."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from http import HTTPStatus

from denzel import backends
from denzel.backends.base import LogLine
from denzel.backends.log_files import follow_logs, read_logs
from denzel.errors import ApiUnreachable, PredictionError, ProjectError, ServiceError
from denzel.figures import Figures, Observation
from denzel.operations.api import project_api
from denzel.operations.deployment import launched_backend, silent
from denzel.polling import polls
from denzel.project import Project
from denzel.services import REDIS, State, Status
from denzel.versions import Versions

POLL_SECONDS = 0.5
FIGURES_SECONDS = 2.0
"""As often as services hand on what they count."""
API_SECONDS = 10.0
GRACE_SECONDS = 5.0
"""How long an ERROR, or a service DOWN, must last before waiting is given up: a service that
is being restarted passes through both."""


def status(project: Project) -> Status | None:
    """Return the state of every service and worker; None when the project is not launched."""
    backend = backends.choose(project, None, silent)
    current = backend.status() if backend.launched() else None
    if current and current.ready:
        _note_success(project)
    return current


def statuses(project: Project) -> Iterator[Status | None]:
    """Yield the project's status again and again, for as long as it is asked for."""
    backend = backends.choose(project, None, silent)
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
            _note_success(project)
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
    _require_own(project, service)
    names = [line.name for line in backend.status().services]
    if project.settings.redis_url:
        names.remove(REDIS)
    if service is not None and service not in names:
        raise ServiceError(f"There is no service {service!r}; there are {', '.join(names)}")
    return backend.logs(names if service is None else [service], follow=follow, tail=tail)


def worker_log(project: Project, *, follow: bool, tail: int | None = None) -> Iterator[str]:
    """Yield the lines of ``logs/worker.log``, the last ``tail`` if that is given.

    With ``follow`` across rotations, for ever.
    """
    if project.launch.image is not None:
        raise ProjectError(
            "A worker that runs from an image writes no log file; `denzel logs --service denzel` "
            "shows what it prints"
        )
    path = project.logs / "worker.log"
    if not follow and not path.exists():
        raise ProjectError(
            f"{path} is not there: the worker has not been started (`denzel launch` starts it), or "
            "has logged nothing since the file was removed"
        )
    files = {"worker": path}
    lines = follow_logs(files, tail) if follow else read_logs(files, tail)
    return (line.text for line in lines)


def figures(project: Project, *, key: str = "") -> Iterator[Figures | None]:
    """Yield how the deployment does, every two seconds; None while it cannot be asked.

    Raises ApiUnreachable or PredictionError when the first look fails.
    """
    observation = Observation()
    first = True
    for _ in polls(FIGURES_SECONDS):
        try:
            with project_api(project, key, timeout=API_SECONDS) as api:
                load = api.load()
        except (ApiUnreachable, PredictionError) as error:
            if first or getattr(error, "status", None) == HTTPStatus.UNAUTHORIZED:
                raise
            yield None
            continue
        first = False
        yield observation.add(load)


def shell(project: Project, service: str, *, root: bool = False) -> int:
    """Open an interactive bash in ``service``, maybe as root; return its exit code."""
    _require_own(project, service)
    return launched_backend(project, silent).shell(service, root=root)


def _require_own(project: Project, service: str | None) -> None:
    """Raise ServiceError for a service that runs elsewhere."""
    if service == REDIS and project.settings.redis_url:
        raise ServiceError(
            f"Redis runs elsewhere ({project.settings.redis}, as REDIS_URL says): denzel neither "
            "sees its log nor gets inside"
        )


def _note_success(project: Project) -> None:
    """Note that the version which serves works, so that one can go back to it."""
    if project.launch.image is None:
        with suppress(OSError):
            Versions(project).mark_worked()


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
