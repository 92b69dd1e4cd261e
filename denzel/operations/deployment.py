"""What operations begin with: the backend that runs the project, settings that can be used."""

from __future__ import annotations

from denzel import backends
from denzel.backends.base import Backend, Report
from denzel.errors import ServiceError, UsageError
from denzel.project import Project
from denzel.services import NOT_LAUNCHED
from denzel.settings import new_secrets, render_secrets


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
    for name in project.tracked_secrets:
        report(
            f"{name} is a secret, and .env belongs into version control: move the line to "
            ".env.secrets, as `denzel upgrade` does, too"
        )
    for name, meant in project.misspelled.items():
        report(f"In {project.env_file}: {name} is no setting of denzel's. Did you mean {meant}?")
    problem = project.settings.exposure or project.settings.conflict
    if problem:
        raise UsageError(f"In {project.env_file}: {problem}")


def make_missing_secrets(project: Project, report: Report, **wanted: str) -> None:
    """Make the secrets that the project lacks, as one that came by git does, and say so.

    ``wanted`` are settings that it is about to have.
    """
    if not new_secrets({**project.environment, **wanted}):
        return
    with project.changing():
        project.forget()
        made = new_secrets({**project.environment, **wanted})
        if project.secrets_file.exists():
            project.set_environment(**made)
        elif made:
            project.write_secrets(render_secrets(made))
    if made:
        report(f"Missing in .env.secrets, and made anew: {', '.join(sorted(made))}")
    if "CALLBACK_SECRET" in made:
        report("Receivers of callbacks that check signatures need the new CALLBACK_SECRET")
