"""What every backend can do with a project's services."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

from denzel.errors import CommandError, ServiceError
from denzel.project import Project
from denzel.services import Status

START = "app/runtime/start.py"
"""What runs a module in the project's directory; ``python -P`` does not look there first."""
CHECK_MODULE = "app.runtime.pipeline.check"
"""What runs the pipeline in the project."""

NAME_WIDTH = len("monitor")
"""To which services' names are filled up in lines of progress."""

Report = Callable[[str], None]
"""Receives one line of progress for the person who waits; the command line prints it."""


class Passing(str):
    """A line of progress that holds until the next one; an empty one takes the last away.

    It is shown on a terminal alone.
    """

    __slots__ = ()


@dataclass(frozen=True)
class LogLine:
    """One line a service wrote, without its line end."""

    service: str
    text: str


class Backend(ABC):
    """Runs a project's services; holds no state but the project it was made for.

    Every method raises a :class:`~denzel.errors.DenzelError` with the next step when it
    cannot do what it says.  Nothing here prints: progress goes to ``report``.
    """

    name: ClassVar[str]

    def __init__(self, project: Project, report: Report) -> None:
        self.project = project
        self.report = report

    @abstractmethod
    def preflight(self) -> None:
        """Check that this machine can run the backend at all, before anything is changed."""

    def check_redis(self) -> None:
        """Ask a Redis of the user's whether it can serve this project; raises ServiceError if not.

        It is asked from where the services run.
        """
        if not self.project.settings.redis_url:
            return
        try:
            output = self._ask_redis()
        except CommandError as error:
            raise ServiceError(error.last_line) from error
        for line in filter(None, output.splitlines()):
            self.report(line)

    @abstractmethod
    def _ask_redis(self) -> str:
        """Run the project's own check of Redis; return what it prints."""

    @abstractmethod
    def launched(self) -> bool:
        """Tell whether the services were created and not shut down since, running or not."""

    @abstractmethod
    def running(self) -> bool:
        """Tell whether any service is running now."""

    @abstractmethod
    def fetch(self, image: str) -> None:
        """Have an image for release on this machine, as its registry has it now.

        Raises UsageError for another kind of image, and where no images are run.
        """

    @abstractmethod
    def try_image(self, image: str, *options: str) -> str:
        """Run the pipeline in an image that was fetched; return its report as JSON."""

    @abstractmethod
    def up(self) -> None:
        """Create and start every service; on failure leave nothing running."""

    @abstractmethod
    def start(self) -> None:
        """Start the stopped services."""

    @abstractmethod
    def stop(self) -> None:
        """Stop every service; queue, results and response mode stay."""

    @abstractmethod
    def restart(self) -> None:
        """Stop and start every service, reading ``.env`` and the user's code afresh."""

    @abstractmethod
    def scale(self, services: Sequence[str]) -> None:
        """Run as many replicas of ``services`` as ``.env`` says; the other services notice nothing.

        They must be running.
        """

    @abstractmethod
    def replicas(self, service: str) -> list[str]:
        """Return the names of a service's running replicas, as ``services.replica_name`` has it."""

    @abstractmethod
    def memory(self, service: str) -> tuple[int, int]:
        """Return the bytes that the largest running replica uses, and those the machine has."""

    @abstractmethod
    def down(self, *, purge: bool) -> None:
        """Stop and remove everything ``up`` created; with ``purge`` what it installed, too."""

    @abstractmethod
    def status(self) -> Status:
        """Return the state of each service and worker at this moment."""

    @abstractmethod
    def logs(self, services: Sequence[str], *, follow: bool, tail: int | None) -> Iterator[LogLine]:
        """Yield what ``services`` wrote, oldest first; with ``follow`` never end by itself."""

    @abstractmethod
    def shell(self, service: str, *, root: bool) -> int:
        """Open an interactive bash in ``service`` on this terminal; return its exit code.

        As the user who serves, or as ``root``.
        """

    @abstractmethod
    def run(self, service: str, module: str, *arguments: str, stdin: bytes = b"") -> str:
        """Run a module of the project where ``service`` runs; return its stdout.

        Raises ServiceError when the service is down, CommandError (with the end of stderr)
        when the module exits with a code other than 0.
        """

    @abstractmethod
    def run_bare(self, service: str, module: str, *arguments: str) -> str:
        """Run a module that needs the standard library alone, as soon as ``service`` was started.

        As :meth:`run`, but with the Python that prepares the services: nothing else needs to be
        installed yet.
        """

    @abstractmethod
    def check(self, sample: bytes | None, *options: str, version: int = 0) -> str:
        """Run the pipeline without services; return its report as JSON.

        ``version`` is the one that is run; 0 for the project's files as they are.  ``options`` are
        those of the module ``app.runtime.pipeline.check``.
        """

    @abstractmethod
    def install(self, version: int, *, pip: bool, os: bool) -> None:
        """Install the newest packages (``pip``) and run requirements.sh (``os``) for a version.

        The services must be running, and notice nothing of the packages; the caller restarts them
        once afterwards.
        """

    @abstractmethod
    def prepare(self, version: int) -> None:
        """Install what a version requires, if that is not there, beside the services.

        Raises RequirementsError when it cannot be had; the services go on as they are.
        """

    @abstractmethod
    def switch(self, replica: str, version: int, *, stop_first: bool) -> None:
        """Have a service's replica go on with another version; :meth:`prepare` was called for it.

        The other version's program is started beside the present one, or after its end
        (``stop_first``); when it is ready, the present one ends, and finishes what it holds.
        Raises ServiceError when it does not get ready; the present one goes on.
        """
