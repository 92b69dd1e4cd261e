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
from denzel.templates.project.app.runtime.settings import Settings

BUILD_INPUTS = ("Dockerfile", ".dockerignore", "app/runtime/requirements.txt")

BY_LABELS = frozenset({"stop", "down", "logs"})
"""Commands that find their containers by the labels alone, whatever is wrong in the files."""


def profiles(settings: Settings) -> list[str]:
    """Return the profiles whose services the settings ask for."""
    wanted = {HTTPS_PROFILE: settings.https_domain, METRICS_PROFILE: settings.with_metrics}
    return [profile for profile, is_wanted in wanted.items() if is_wanted]


class Compose:
    """Compose as it is called for one project, whose containers carry ``name``."""

    def __init__(self, project: Project, name: str) -> None:
        self.project = project
        self.name = name

    @cached_property
    def commands(self) -> ComposeCommands:
        """The argument lists to be run; raises EngineError when there is no Compose."""
        return ComposeCommands(find_compose().argv, self.name)

    def place(self, argv: Sequence[str] = ()) -> dict[str, Any]:
        """Return where Compose is run for a command, and with which environment."""
        environment = client_environment(os.environ, self.project)
        environment["DENZEL_BUILD_INPUTS"] = self.build_inputs()
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
