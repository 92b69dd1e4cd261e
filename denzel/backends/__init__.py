"""Which backend runs a project's services, and why."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from denzel.errors import UsageError
from denzel.project import Project

if TYPE_CHECKING:
    from denzel.backends.base import Backend, Report

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


def find_lost(directory: Path) -> Project | None:
    """Return the project, once in ``directory`` or above, that is gone while its services run."""
    from denzel.backends.local.layout import known_marks
    from denzel.backends.local.process_table import find_abandoned

    candidates = [each for each in (directory, *directory.parents) if not (each / "app").exists()]
    for candidate in candidates:
        if find_abandoned(candidate, known_marks(candidate)):
            return Project(candidate, lenient=True)
    if not _engine_answers():
        return None
    from denzel.backends.docker.engine import launched_directories

    launched = launched_directories()
    found = next((each for each in candidates if os.path.realpath(each) in launched), None)
    return None if found is None else Project(found, lenient=True)


def _runs_locally(project: Project) -> bool:
    """Tell whether local processes were started, although no launch is recorded."""
    from denzel.backends.local.layout import Layout, known_marks
    from denzel.backends.local.process_table import find_abandoned

    layout = Layout.of(project)
    root = project.root
    return layout.deployment.exists() or bool(find_abandoned(root, known_marks(root)))
