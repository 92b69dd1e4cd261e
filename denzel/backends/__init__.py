"""Which backend runs a project's services, and why."""

from __future__ import annotations

from typing import TYPE_CHECKING

from denzel.errors import UsageError

if TYPE_CHECKING:
    from denzel.backends.base import Backend, Report
    from denzel.project import Project

LOCAL = "local"
DOCKER = "docker"


def choose(project: Project, flag: str | None, report: Report) -> Backend:
    """Return the backend of ``project``.

    The first that is known decides: ``flag`` (what the command line asked for), the backend
    the project was launched with, local processes if they left a record of their own, Docker if an
    engine answers, else local processes.  Each backend is imported only when it is chosen, so that
    neither needs the other's libraries.
    """
    name = flag or project.backend
    if name is None and _runs_locally(project):
        name = LOCAL
    if name is None:
        name = DOCKER if _engine_answers() else LOCAL
    if name == DOCKER:
        from denzel.backends.docker.backend import ComposeBackend

        return ComposeBackend(project, report)
    if name == LOCAL:
        from denzel.backends.local.backend import LocalBackend

        return LocalBackend(project, report)
    raise UsageError(f"There is no backend {name!r}; use --local or --docker")


def _engine_answers() -> bool:
    from denzel.backends.docker.engine import engine_answers

    return engine_answers()


def _runs_locally(project: Project) -> bool:
    """Tell whether local processes were started, although no launch is recorded."""
    from denzel.backends.local.layout import Layout

    return Layout.of(project).deployment.exists()
