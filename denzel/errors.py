"""Every error denzel raises on purpose, on one page.

A message names the thing, the cause and the next command to type.  The command line
prints it after ``Error:`` and exits with ``exit_code``; nothing below it prints.
"""


class DenzelError(Exception):
    """Something the user can put right; its text says how."""

    exit_code = 1


class UsageError(DenzelError):
    """A value given on the command line or in ``.env`` cannot be used."""

    exit_code = 2


class ProjectError(DenzelError):
    """There is no project here, or the project's files cannot be used as they are."""


class EngineError(DenzelError):
    """The backend's engine (Docker, Compose, supervisor, Redis) is missing or unusable."""


class CommandError(DenzelError):
    """An external program ended with a non-zero exit code; ``said`` is the end of its output."""

    def __init__(self, message: str, *, said: str = "") -> None:
        super().__init__(message)
        self.said = said

    @property
    def last_line(self) -> str:
        """What the program said last, or else the message."""
        return (self.said.strip().splitlines() or [str(self)])[-1]


class PortTaken(DenzelError):
    """A port the deployment needs is bound by something else."""


class ServiceError(DenzelError):
    """A service is down, failed to start, or did not become ready in time."""


class RequirementsError(DenzelError):
    """The project's requirements could not be installed."""


class ApiUnreachable(ServiceError):
    """The API could not be reached, or gave no answer in time."""


class PredictionError(DenzelError):
    """The API refused a request, or its prediction failed.

    ``status`` is the answer's HTTP status, None for a prediction that failed after it was accepted;
    ``retry_after`` is in seconds.
    """

    exit_code = 4

    def __init__(
        self,
        message: str,
        task_id: str | None = None,
        *,
        status: int | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.task_id = task_id
        self.status = status
        self.retry_after = retry_after


class PredictionPending(PredictionError):
    """The prediction was not made in the time given; its result can be asked for later."""

    exit_code = 3


class InvalidCallback(DenzelError):
    """A callback is not signed with the deployment's secret, or too old."""


class Interrupted(DenzelError):
    """Ctrl-C ended a command that leaves something behind."""

    exit_code = 130
