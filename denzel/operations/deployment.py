"""What operations begin with: the backend that runs the project, settings that can be used."""

from __future__ import annotations

from denzel import backends
from denzel.backends.base import Backend, Report
from denzel.errors import ServiceError, UsageError
from denzel.project import Project
from denzel.services import NOT_LAUNCHED


def silent(_line: str) -> None:
    """Take a line of progress that nobody wants to see."""


def launched_backend(project: Project, report: Report) -> Backend:
    """Return the backend that runs ``project``; raises ServiceError when none does."""
    backend = backends.choose(project, None, report)
    if not backend.launched():
        raise ServiceError(NOT_LAUNCHED)
    return backend


def check_settings(project: Project, report: Report) -> None:
    """Tell of names in ``.env`` that look like a setting's.

    Raises UsageError when the monitor would be shown to whoever comes along, and for settings that
    do not go together.
    """
    for name, meant in project.misspelled.items():
        report(f"In {project.env_file}: {name} is no setting of denzel's. Did you mean {meant}?")
    problem = project.settings.exposure or project.settings.conflict
    if problem:
        raise UsageError(f"In {project.env_file}: {problem}")
