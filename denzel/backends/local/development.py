"""The services of ``denzel dev``: local processes beside whatever the project is launched as.

They have a directory, sockets, a Redis and a port of their own, and share at most the installed
packages with a deployment: a launched one keeps those to itself.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from denzel.backends.base import Report
from denzel.backends.local.backend import LocalBackend
from denzel.backends.local.deployment_record import DeploymentRecord
from denzel.backends.local.environment import LOOPBACK
from denzel.backends.local.layout import DEVELOPMENT, Layout
from denzel.backends.local.lifecycle import Lifecycle
from denzel.backends.local.supervision import PROGRAMS, NotSupervised
from denzel.errors import ProjectError, ServiceError
from denzel.polling import polls
from denzel.project import Project
from denzel.services import REDIS

LEFT_OUT = frozenset({"monitor"})
"""Services that a developer does not miss: the terminal shows what they would."""
STOP_SECONDS = 1
"""How long a service may take to end before it is killed: nobody relies on what it holds."""
POLL_SECONDS = 0.1
RUNNING_ALREADY = "`denzel dev` runs in this project already; end it with Ctrl-C first"

PROGRAMS_OF_DEVELOPMENT = tuple(
    replace(program, stop_seconds=min(program.stop_seconds, STOP_SECONDS))
    for program in PROGRAMS
    if program.name not in LEFT_OUT
)


class DevelopmentProject(Project):
    """A project as its services under development see it: other directories, another port."""

    def __init__(self, root: Path, *, api_port: int) -> None:
        super().__init__(root)
        self._api_port = api_port

    @property
    def private(self) -> Path:
        """The directory of the services under development."""
        return super().private / DEVELOPMENT

    @property
    def logs(self) -> Path:
        """Where they write their log files."""
        return self.private / "logs"

    @cached_property
    def environment(self) -> dict[str, str]:
        """What the settings files set, but for where the services listen."""
        changed = {
            "API_PORT": str(self._api_port), "API_HOST": LOOPBACK, "REDIS_FSYNC": "everysec",
            "HTTPS_DOMAIN": "", "API_PREFIX": "",  # no proxy stands in front of it
            "REDIS_URL": "", "REDIS_WAIT_REPLICAS": "0",  # which holds what others rely on
            "REDIS_CA": "", "REDIS_CERTIFICATE": "", "REDIS_KEY": "",
            "DENZEL_VERSION": "0",  # the files themselves, not a copy of them
        }  # fmt: skip
        return {**super().environment, **changed}


@dataclass(frozen=True)
class DevelopmentLayout(Layout):
    """The paths of services under development; the packages may be the deployment's."""

    packages: Path

    @property
    def venv(self) -> Path:
        """The virtual environment the services share."""
        return self.packages


class Development(LocalBackend):
    """Runs a project's services for as long as a terminal watches them."""

    def __init__(self, project: Project, report: Report, *, api_port: int) -> None:
        super().__init__(DevelopmentProject(project.root, api_port=api_port), report)
        deployed = Layout.of(project)
        launched = DeploymentRecord.read(deployed) is not None
        self._own = self.project.private
        self._packages = self._own / "venv" if launched else deployed.venv

    @property
    def _layout(self) -> Layout:
        return DevelopmentLayout(self.project.root, self._own, self.project.logs, self._packages)

    @property
    def _lifecycle(self) -> Lifecycle:
        return Lifecycle(self.project, self._layout, self.report, PROGRAMS_OF_DEVELOPMENT)

    @property
    def log_files(self) -> dict[str, Path]:
        """The log file of each service but Redis, whose log is of no use to a developer."""
        names = [program.name for program in PROGRAMS_OF_DEVELOPMENT if program.name != REDIS]
        return {name: self.project.logs / f"{name}.log" for name in names}

    @contextmanager
    def session(self) -> Iterator[None]:
        """Run the services for what happens inside; leave nothing behind.

        Raises ProjectError when they run already, from another terminal.
        """
        self._own.parent.mkdir(mode=0o700, exist_ok=True)
        with self._changing(), _locked(self._own):
            self._clear()
            try:
                self._lifecycle.start()
                yield
            finally:
                self._lifecycle.stop()
                self._layout.deployment.unlink(missing_ok=True)

    def restart_services(self, names: Sequence[str]) -> None:
        """Stop and start some services; raises ServiceError when all have been ended meanwhile."""
        supervisor = self._lifecycle.supervisor
        try:
            for name in names:
                supervisor.stop(name)
            for _ in polls(POLL_SECONDS, timeout=STOP_SECONDS + POLL_SECONDS * 20):
                known = supervisor.processes()
                if not any(known[name].alive for name in names):
                    break
            for name in names:
                (self._layout.run / f"{name}.json").unlink(missing_ok=True)
            supervisor.start_stopped()
        except NotSupervised as error:
            raise ServiceError("The services were ended by something else") from error

    def restart_all(self) -> None:
        """Stop and start every service, reading the settings afresh.

        Raises UsageError for settings that cannot be used, and then the services go on.
        """
        _ = Project(self.project.root).settings
        self.project.forget()
        lifecycle = self._lifecycle
        lifecycle.stop()
        lifecycle.start()

    def _clear(self) -> None:
        """Begin with an empty queue and empty logs, whatever ended the services the last time."""
        self._lifecycle.stop()  # of a `denzel dev` that was killed
        for directory in (self._layout.redis_data, self.project.logs):
            for path in directory.rglob("*"):
                if path.is_file():
                    path.unlink()


def end_remains(project: Project, report: Report) -> None:
    """End what a killed ``denzel dev`` left running; raises ProjectError while one runs."""
    directory = project.private / DEVELOPMENT
    if directory.exists():
        with _locked(directory):
            development = Development(project, report, api_port=project.settings.api_port)
            if development.running():
                development.stop()


@contextmanager
def _locked(directory: Path) -> Iterator[None]:
    """Hold the lock of a directory; it leaves nothing behind whatever ends this process."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise ProjectError(RUNNING_ALREADY) from error
        yield
    finally:
        os.close(descriptor)
