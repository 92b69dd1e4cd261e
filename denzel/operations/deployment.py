"""What operations begin with: the backend that runs the project, settings, a version."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from urllib.request import ProxyHandler, build_opener

from denzel import backends
from denzel.backends.base import Backend, Report
from denzel.errors import ProjectError, RequirementsError, ServiceError, UsageError
from denzel.project import Project
from denzel.services import NOT_LAUNCHED, State
from denzel.settings import new_secrets, render_secrets
from denzel.templates.project.app.runtime.settings import parse_redis_url
from denzel.versions import Version, Versions

USER_CODE_SERVICES = ("denzel", "api")
STILL_RUNNING = "Nothing was restarted: the services go on as they are"

PAGE_SECONDS = 5.0


def silent(_line: str) -> None:
    """Take a line of progress that nobody wants to see."""


def launched_backend(project: Project, report: Report) -> Backend:
    """Return the backend that runs ``project``; raises ServiceError when none does."""
    backend = backends.choose(project, None, report)
    if not backend.launched():
        raise ServiceError(NOT_LAUNCHED)
    return backend


def refuse_for_image(project: Project) -> None:
    """Raise ProjectError where services run from an image, of which nothing can be changed."""
    if project.launch.image is not None:
        raise ProjectError(
            f"The services run from the image {project.launch.image}, which stays as it is: make "
            "another one by `denzel build`, then run `denzel launch --image` with that; queue and "
            "results stay"
        )


def check_settings(project: Project, report: Report, *, monitor: bool = True) -> None:
    """Tell of secrets that travel, and of names that look like a setting's.

    Raises UsageError when the ``monitor``, if there is to be one, would be shown to whoever comes
    along, and for settings that do not go together.
    """
    for name in project.tracked_secrets:
        report(
            f"{name} is a secret, and .env belongs into version control: move the line to "
            ".env.secrets, as `denzel upgrade` does, too"
        )
    settings = project.read_settings_file()
    if "@" in settings.get("REDIS_URL", "") and parse_redis_url(settings["REDIS_URL"]).password:
        report(
            "REDIS_URL holds a password, and .env belongs into version control: leave it out "
            "there, and set REDIS_PASSWORD in .env.secrets"
        )
    for name, meant in project.misspelled.items():
        file = project.env_file if name in settings else project.secrets_file
        report(f"In {file}: {name} is no setting of denzel's. Did you mean {meant}?")
    problem = (monitor and project.settings.exposure) or project.settings.conflict
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


def serves(backend: Backend) -> bool:
    """Tell whether requests are answered now; not while a supervisor hangs, for one."""
    try:
        lines = backend.status().services
    except ServiceError:
        return False
    return all(line.state is State.UP for line in lines if line.name in USER_CODE_SERVICES)


@contextmanager
def new_version(project: Project, by: str) -> Iterator[Version]:
    """Yield the version to start services with; without a trace of it if it turns out not to do.

    ``by`` is the command; for ``update`` there is always a new one.
    """
    project.forget()
    versions = Versions(project)
    known = {version.number for version in versions.all()}
    version = versions.to_update(by) if by == "update" else versions.to_start(by)
    try:
        yield version
    except BaseException as error:
        if version.number not in known:
            versions.drop(version.number)
        if isinstance(error, RequirementsError):
            raise RequirementsError(f"{error}. {STILL_RUNNING}") from error
        raise


def front_page(url: str) -> str:
    """Return what a person looks at first of the API at ``url``: its page, else its info."""
    opener = build_opener(ProxyHandler({}))  # none of the environment gets in between
    with suppress(OSError), opener.open(f"{url}/", timeout=PAGE_SECONDS):
        return f"{url}/"
    return f"{url}/info"
