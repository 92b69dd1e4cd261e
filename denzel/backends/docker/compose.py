"""Run Compose for one project: in which directory, with which environment and files."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from denzel import process
from denzel.backends.docker.commands import HTTPS_PROFILE, METRICS_PROFILE, ComposeCommands
from denzel.backends.docker.environment import build_environment, client_environment
from denzel.backends.docker.errors import explained
from denzel.backends.docker.program import find_compose
from denzel.project import Project
from denzel.services import BALANCER
from denzel.templates.project.app.runtime.settings import Settings

BUILD_INPUTS = ("Dockerfile", ".dockerignore", "app/runtime/requirements.txt")

IMAGE_FILE = "docker-compose.image.yml"
"""What is launched from an image; Compose adds an override by itself to its usual file alone."""
OVERRIDE = "docker-compose.override.yml"

BY_LABELS = frozenset({"stop", "down", "logs"})
"""Commands that find their containers by the labels alone, whatever is wrong in the files."""


def profiles(settings: Settings) -> list[str]:
    """Return the profiles whose services the settings ask for."""
    wanted = {
        HTTPS_PROFILE: settings.https_domain,
        METRICS_PROFILE: settings.with_metrics,
        BALANCER: settings.api_replicas > 1,
    }
    return [profile for profile, is_wanted in wanted.items() if is_wanted]


def replica_environment(replicas: int) -> dict[str, str]:
    """Return what docker-compose.yml publishes the API's replicas by; the balancer has API_PORT."""
    several = replicas > 1
    return {
        "API_REPLICA_PORT": "0" if several else "",  # 0: any that is free
        "API_REPLICA_HOST": "127.0.0.1" if several else "",
    }


class Compose:
    """Compose as it is called for one project, whose containers carry ``name``.

    ``image`` is the one that services run; None: they run the project's files.
    """

    def __init__(self, project: Project, name: str, image: str | None = None) -> None:
        self.project = project
        self.name = name
        self.image = image

    @cached_property
    def commands(self) -> ComposeCommands:
        """The argument lists to be run; raises EngineError when there is no Compose."""
        return ComposeCommands(find_compose().argv, self.name, self._files)

    @property
    def _files(self) -> tuple[str, ...]:
        if self.image is None:
            return ()
        has_override = (self.project.root / OVERRIDE).exists()
        return (IMAGE_FILE, *((OVERRIDE,) if has_override else ()))

    def place(self, argv: Sequence[str] = ()) -> dict[str, Any]:
        """Return where Compose is run for a command, and with which environment."""
        environment = client_environment(os.environ, self.project)
        environment["DENZEL_BUILD_INPUTS"] = self.build_inputs()
        if self.image is not None:
            environment["RELEASE_IMAGE"] = self.image
        words = {word for word in argv if word != self.name}  # which may be that of a command
        if "build" in words:
            environment |= build_environment(self.project)
        # Compose refuses files it cannot read; where it finds none, it goes by the labels.
        by_labels = self.project.flaw or not BY_LABELS.isdisjoint(words)
        if not self.project.flaw:
            settings = self.project.settings
            environment["METRICS_KEY"] = settings.metrics_key
            # REDIS_URL may stand in .env.secrets, which Compose does not read.
            environment["DENZEL_REDIS"] = "-elsewhere" if settings.redis_url else ""
            environment["COMPOSE_PROFILES"] = ",".join(profiles(settings))
            environment |= replica_environment(settings.api_replicas)
        directory = Path("/") if by_labels else self.project.root
        return {"cwd": directory, "env": environment}

    def build_inputs(self) -> str:
        """Return a digest of everything denzel's own Dockerfile depends on."""
        digest = hashlib.sha256(self.project.settings.base_image.encode())
        for name in BUILD_INPUTS:
            path = Path(self.project.root) / name
            digest.update(b"\0" + (path.read_bytes() if path.exists() else b""))
        return digest.hexdigest()

    def relay(
        self, argv: Sequence[str], receive: Callable[[str], None], *, image: str = ""
    ) -> None:
        """Run a command and hand each line it prints to ``receive``.

        ``image`` is the one it is about; a failure names it.
        """
        with explained(image=image):
            process.relay(argv, receive, **self.place(argv))

    def output(self, argv: Sequence[str], *, stdin: bytes = b"") -> str:
        """Run a command and return what it printed to its standard output."""
        with explained():
            return process.run(argv, stdin=stdin, **self.place()).decode(errors="replace")
