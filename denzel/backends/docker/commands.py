"""The argument list of every Compose command denzel runs; nothing is run here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from denzel.backends.base import START
from denzel.services import number_of, service_of

BUILDING_SERVICE = "api"
"""The service whose image all services with the project's code use."""

HTTPS_PROFILE, METRICS_PROFILE = "https", "metrics"
"""What the service https, and Prometheus and Grafana, need to be started."""
SERVING_USER = "denzel"
BARE_PYTHON = "/opt/denzel/python"
WITH_SECRETS = (BARE_PYTHON, "-P", START, "app.runtime.bootstrap.secrets")
"""Runs what follows with the secrets that the service in the same container has."""
STATES = (
    "sh", "-c",
    f"{BARE_PYTHON} -EPS {START} app.runtime.health || grep -r '' /run/denzel",
)  # fmt: skip
"""Print a container's state files, examined there; as they are, if its project is older."""
_CHECK = ("--install", "check", "--os-commands")
EVERY_PROFILE = ("--profile", "*")
"""Also what was started with a setting that is off by now."""
BOOTSTRAP = (BARE_PYTHON, "-P", START, "app.runtime.bootstrap")
"""What prepares a service."""


@dataclass(frozen=True)
class ComposeCommands:
    """Builds argument lists for one deployment."""

    program: tuple[str, ...]
    project_name: str
    files: tuple[str, ...] = ()
    """The Compose files; none: those that Compose finds by itself."""

    def build(self) -> list[str]:
        """Build the project's image."""
        return self._compose("build", BUILDING_SERVICE)

    def pull(self, service: str) -> list[str]:
        """Pull the image of a service that is not built here."""
        return self._compose("pull", service)

    def up(self) -> list[str]:
        """Create what is missing or changed, start everything, build nothing."""
        return self._compose("up", "--detach", "--no-build")

    def scale(self, services: Sequence[str], *, recreate: bool) -> list[str]:
        """Start or remove replicas of services, others of theirs untouched unless ``recreate``."""
        options = [] if recreate else ["--no-recreate"]
        return self._compose("up", "--detach", "--no-build", "--no-deps", *options, *services)

    def stop(self) -> list[str]:
        """Stop the containers and keep them."""
        return self._by_labels(*EVERY_PROFILE, "stop")

    def down(self, *, purge: bool) -> list[str]:
        """Remove containers and network; with ``purge`` volumes, too."""
        extra = ["--volumes"] if purge else []
        return self._by_labels(*EVERY_PROFILE, "down", "--remove-orphans", *extra)

    def logs(self, services: Sequence[str], *, follow: bool, tail: int | None) -> list[str]:
        """Print what services wrote, each line with its container and time."""
        options = ["--follow"] if follow else []
        options += [] if tail is None else ["--tail", str(tail)]
        return self._by_labels("logs", "--no-color", "--timestamps", *options, *services)

    def shell(self, replica: str, *, user: str | None, terminal: bool) -> list[str]:
        """Open bash in a running service; as a user who serves, with what its programs have."""
        inside = (*BOOTSTRAP, "--version", "0", "--run", "bash")
        return self._execute(replica, user, terminal, *(inside if user else ("bash",)))

    def module(self, replica: str, module: str, *arguments: str) -> list[str]:
        """Run a module of the project in a running service, as the user who serves."""
        return self._bootstrap(
            replica, SERVING_USER, "--run", "python", "-P", START, module, *arguments
        )  # fmt: skip

    def module_of_version(
        self, version: int, service: str, module: str, *arguments: str
    ) -> list[str]:
        """Run a module of a version in a running service; 0 for the project's own files.

        What the module prints comes last.
        """
        chosen = ("--version", str(version))
        return self._bootstrap(
            service, SERVING_USER, *chosen, "--run", "python", "-P", START, module, *arguments
        )

    def bare_module(self, replica: str, module: str, *arguments: str) -> list[str]:
        """Run a module with the Python that prepares a running service."""
        return self._execute(
            replica, SERVING_USER, False,
            *WITH_SECRETS, BARE_PYTHON, "-P", START, module, *arguments,
        )  # fmt: skip

    def install(self, replica: str, version: int, *, pip: bool, os: bool) -> list[str]:
        """Install requirements in a running replica of a service, as root."""
        wanted = [*(["--install", "os"] if os else []), *(["--install", "pip"] if pip else [])]
        service = service_of(replica)
        return self._bootstrap(replica, "root", "--version", str(version), *wanted, service)

    def install_changed(self, replica: str, version: int) -> list[str]:
        """Install what a start of a running replica would install, as root."""
        service = service_of(replica)
        return self._bootstrap(replica, "root", *_CHECK, "--version", str(version), service)

    def try_requirements(self, container: str, service: str, version: int) -> list[str]:
        """Install what a start of a service would install, in a container that is thrown away.

        The packages stay, in the volume all services share.
        """
        return self._one_off(container, service, *_CHECK, "--version", str(version), service)

    def switch(self, replica: str, version: int, *, stop_first: bool) -> list[str]:
        """Have a running replica of a service go on with another version."""
        options = ["--version", str(version), "--switch", *(["--stop-first"] if stop_first else [])]
        return self._bootstrap(replica, "root", *options, service_of(replica))

    def check_redis(self, container: str, service: str) -> list[str]:
        """Ask a Redis of the user's from a container of a service, which is thrown away."""
        return self._one_off(container, service, "--version", "0", "--check-redis", service)

    def prepared_module(
        self, container: str, service: str, module: str, *arguments: str
    ) -> list[str]:
        """Run a module in a ``container`` of its own that is prepared as the service's would be."""
        prepare = ("--os-commands", "--once", "--version", "0", service)
        run = ("python", "-P", START, module)
        return self._one_off(container, service, *prepare, *run, *arguments)

    def _bootstrap(self, replica: str, user: str, *arguments: str) -> list[str]:
        return self._execute(replica, user, False, *BOOTSTRAP, *arguments)

    def _one_off(self, container: str, service: str, *arguments: str) -> list[str]:
        return self._compose(
            "run", "--rm", "--name", container, "--no-deps", "-T", "--quiet-pull",
            "--entrypoint", BOOTSTRAP[0], service, *BOOTSTRAP[1:], *arguments,
        )  # fmt: skip

    def _execute(self, replica: str, user: str | None, terminal: bool, *command: str) -> list[str]:
        options = [] if terminal else ["-T"]
        options += ["--user", user] if user else []
        if number_of(replica) > 1:
            options += ["--index", str(number_of(replica))]
        return self._compose("exec", *options, service_of(replica), *command)

    def _compose(self, *arguments: str) -> list[str]:
        files = [word for file in self.files for word in ("--file", file)]
        return self._by_labels(*files, *arguments)

    def _by_labels(self, *arguments: str) -> list[str]:
        """Return a command that finds its containers by their labels, and reads no file."""
        return [
            *self.program, "--ansi", "never", "--project-name", self.project_name, *arguments
        ]  # fmt: skip
