"""The argument list of every Compose command denzel runs; nothing is run here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from denzel.backends.base import START

BUILDING_SERVICE = "api"
"""The service whose image all services with the project's code use."""

HTTPS_PROFILE, METRICS_PROFILE = "https", "metrics"
"""What the service https, and Prometheus and Grafana, need to be started."""
SERVING_USER = "denzel"
VENV_PYTHON = "/opt/denzel/venv/bin/python"
BARE_PYTHON = "/opt/denzel/python"
WITH_SECRETS = (BARE_PYTHON, "-P", START, "app.runtime.bootstrap.secrets")
"""Runs what follows with the secrets that the service in the same container has."""
STATES = (
    "sh", "-c",
    f"{BARE_PYTHON} -EPS {START} app.runtime.health || grep -r '' /run/denzel",
)  # fmt: skip
"""Print a container's state files, examined there; as they are, if its project is older."""

EVERY_PROFILE = ("--profile", "*")
"""Also what was started with a setting that is off by now."""
BOOTSTRAP = (BARE_PYTHON, "-P", START, "app.runtime.bootstrap")
"""What prepares a service."""


@dataclass(frozen=True)
class ComposeCommands:
    """Builds argument lists for one deployment."""

    program: tuple[str, ...]
    project_name: str

    def build(self) -> list[str]:
        """Build the project's image."""
        return self._compose("build", BUILDING_SERVICE)

    def pull(self, service: str) -> list[str]:
        """Pull the image of a service that is not built here."""
        return self._compose("pull", service)

    def up(self) -> list[str]:
        """Create what is missing or changed, start everything, build nothing."""
        return self._compose("up", "--detach", "--no-build")

    def stop(self) -> list[str]:
        """Stop the containers and keep them."""
        return self._compose(*EVERY_PROFILE, "stop")

    def down(self, *, purge: bool) -> list[str]:
        """Remove containers and network; with ``purge`` volumes, too."""
        extra = ["--volumes"] if purge else []
        return self._compose(*EVERY_PROFILE, "down", "--remove-orphans", *extra)

    def logs(self, services: Sequence[str], *, follow: bool, tail: int | None) -> list[str]:
        """Print what services wrote, each line with its container and time."""
        options = ["--follow"] if follow else []
        options += [] if tail is None else ["--tail", str(tail)]
        return self._compose("logs", "--no-color", "--timestamps", *options, *services)

    def shell(self, service: str, *, user: str | None, terminal: bool) -> list[str]:
        """Open bash in a running service, with its secrets where ``user`` serves the project."""
        return self._execute(service, user, terminal, *(WITH_SECRETS if user else ()), "bash")

    def module(self, service: str, module: str, *arguments: str) -> list[str]:
        """Run a module of the project in a running service, as the user who serves."""
        return self._execute(
            service, SERVING_USER, False,
            *WITH_SECRETS, VENV_PYTHON, "-P", START, module, *arguments,
        )  # fmt: skip

    def bare_module(self, service: str, module: str, *arguments: str) -> list[str]:
        """Run a module with the Python that prepares a running service."""
        return self._execute(
            service, SERVING_USER, False,
            *WITH_SECRETS, BARE_PYTHON, "-P", START, module, *arguments,
        )  # fmt: skip

    def install(self, service: str, *, pip: bool, os: bool) -> list[str]:
        """Install requirements in a running service, as root."""
        wanted = [*(["--install", "os"] if os else []), *(["--install", "pip"] if pip else [])]
        return self._execute(service, "root", False, *BOOTSTRAP, *wanted, service)

    def install_changed(self, service: str) -> list[str]:
        """Install what a start of a running service would install, as root."""
        wanted = ("--install", "check", "--os-commands", service)
        return self._execute(service, "root", False, *BOOTSTRAP, *wanted)

    def prepared_module(
        self, container: str, service: str, module: str, *arguments: str
    ) -> list[str]:
        """Run a module in a ``container`` of its own that is prepared as the service's would be."""
        prepare = [*BOOTSTRAP, "--os-commands", "--once", service]
        return self._compose(
            "run", "--rm", "--name", container, "--no-deps", "-T", "--quiet-pull",
            "--entrypoint", prepare[0], service, *prepare[1:],
            "python", "-P", START, module, *arguments,
        )  # fmt: skip

    def _execute(self, service: str, user: str | None, terminal: bool, *command: str) -> list[str]:
        options = [] if terminal else ["-T"]
        options += ["--user", user] if user else []
        return self._compose("exec", *options, service, *command)

    def _compose(self, *arguments: str) -> list[str]:
        return [
            *self.program, "--ansi", "never", "--project-name", self.project_name, *arguments
        ]  # fmt: skip
