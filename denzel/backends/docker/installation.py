"""Install what a version of the project requires, in its containers, while they serve."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from denzel import process
from denzel.backends.base import Report
from denzel.backends.docker.compose import Compose
from denzel.backends.docker.containers import Containers
from denzel.backends.docker.engine import find_image
from denzel.errors import CommandError, RequirementsError
from denzel.templates.project.app.runtime.bootstrap.version import (
    VERSIONS,
    served_version,
    version_directory,
)

OS_REQUIREMENTS = "requirements.sh"
USER_CODE_SERVICES = ("denzel", "api")


class Installation:
    """Installs beside services that run, and notice nothing of it."""

    def __init__(self, compose: Compose, containers: Containers, report: Report) -> None:
        self._compose = compose
        self._containers = containers
        self._report = report

    def install_newest(self, version: int, *, packages: bool, os_commands: bool) -> None:
        """Install the newest packages, and run requirements.sh, for a version.

        Packages go into the volume all services share, so one service installs them.  The script is
        tried in a container of its own first: half of it would leave a service half changed.
        """
        replicas = list(self._replicas())
        if os_commands:
            self._try(version)
        for number, replica in enumerate(replicas if os_commands else replicas[:1]):
            argv = self._compose.commands.install(
                replica, version, pip=packages and number == 0, os=os_commands
            )
            self._relay(replica, argv)

    def install_changed(self, version: int) -> None:
        """Install what a version requires and the services lack.

        Where requirements.sh changed, or the image, it is tried in a container of its own first.
        """
        project = self._compose.project
        image = find_image(self._containers.client, project.settings.image)
        replicas = self._replicas()
        running = {container.attrs["Image"] for container in replicas.values()}
        same_image = image is not None and running == {image.id}
        if not same_image or self._changes_script(version):
            self._try(version)
        for replica in replicas if same_image else ():
            self._relay(replica, self._compose.commands.install_changed(replica, version))

    def _replicas(self) -> dict[str, Any]:
        """Return the containers that run the user's code, by their replicas' names."""
        found: dict[str, Any] = {}
        for service in USER_CODE_SERVICES:
            found |= self._containers.running(service)
        return found

    def _try(self, version: int) -> None:
        """Install what a version requires in a container that is thrown away."""
        name = f"{self._compose.name}-try-{os.getpid()}"
        argv = self._compose.commands.try_requirements(name, "denzel", version)
        try:
            self._relay("denzel", argv)
        except KeyboardInterrupt:
            self._containers.remove_one(name)
            raise

    def _changes_script(self, version: int) -> bool:
        """Tell whether a version's requirements.sh is another one than that which serves."""
        root = self._compose.project.root
        served = version_directory(root, served_version(root))
        scripts = [served / OS_REQUIREMENTS, root / VERSIONS / str(version) / OS_REQUIREMENTS]
        return len({path.read_bytes() if path.exists() else b"" for path in scripts}) > 1

    def _relay(self, service: str, argv: Sequence[str]) -> None:
        last = ""

        def receive(line: str) -> None:
            nonlocal last
            last = line or last
            self._report(line)

        try:
            process.relay(argv, receive, **self._compose.place())
        except CommandError as error:
            raise RequirementsError(f"{service}: {last}") from error
