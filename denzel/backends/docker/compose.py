"""Run Compose for one project: in which directory, with which environment and files."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from denzel import process
from denzel.backends.docker.commands import HTTPS_PROFILE, ComposeCommands
from denzel.backends.docker.errors import explained
from denzel.backends.docker.program import find_compose
from denzel.project import Project
from denzel.settings import SETTINGS

BUILD_INPUTS = ("Dockerfile", ".dockerignore", "app/runtime/requirements.txt")


class Compose:
    """Compose as it is called for one project, whose containers carry ``name``."""

    def __init__(self, project: Project, name: str) -> None:
        self.project = project
        self.name = name

    @cached_property
    def commands(self) -> ComposeCommands:
        """The argument lists to be run; raises EngineError when there is no Compose."""
        return ComposeCommands(find_compose().argv, self.name)

    def place(self) -> dict[str, Any]:
        """Return where Compose is run, and with which environment.

        What varies stands in .env: a variable of the same name in the caller's environment,
        which Compose would prefer, is left out.
        """
        own = {setting.name for setting in SETTINGS}
        environment = {
            name: value
            for name, value in os.environ.items()
            if name not in own and not name.startswith("COMPOSE_")
        }
        environment["DENZEL_BUILD_INPUTS"] = self.build_inputs()
        if self.project.settings.https_domain:
            environment["COMPOSE_PROFILES"] = HTTPS_PROFILE
        # Compose refuses an .env it cannot read; where it finds no files, it goes by the labels.
        directory = Path("/") if self.project.flaw else self.project.root
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
            process.relay(argv, receive, **self.place())

    def output(self, argv: Sequence[str], *, stdin: bytes = b"") -> str:
        """Run a command and return what it printed to its standard output."""
        with explained():
            return process.run(argv, stdin=stdin, **self.place()).decode(errors="replace")
