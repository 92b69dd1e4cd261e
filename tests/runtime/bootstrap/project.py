"""A project whose services are prepared one by one, with real pip and wheels made here."""

from __future__ import annotations

import fcntl
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from ..polling import wait_until
from ..ports import free_port
from ..service import Service, bare_environment
from ..template import copy_template

PRINT_VALUE = ("python", "-c", "import userpart; print('running with', userpart.VALUE)")


@dataclass
class Project:
    """A project whose services are prepared one by one."""

    directory: Path
    environment: dict[str, str]
    services: list[Service] = field(default_factory=list)

    def start(self, service: str, *arguments: str, program: Sequence[str] = ()) -> Service:
        """Start a service's preparation; it becomes ``program``."""
        command = [sys.executable, "-m", "app.runtime.bootstrap", *arguments, service]
        started = Service(service, [*command, *program], self.directory, self.environment)
        self.services.append(started)
        return started

    def run(
        self, service: str, *arguments: str, program: Sequence[str] = PRINT_VALUE
    ) -> subprocess.CompletedProcess[str]:
        """Prepare a service and wait for the end of its program."""
        command = [sys.executable, "-m", "app.runtime.bootstrap", *arguments, service, *program]
        return subprocess.run(
            command, cwd=self.directory, env=self.environment, capture_output=True, text=True,
            timeout=60,
        )  # fmt: skip

    def state(self, service: str) -> tuple[str, str]:
        """Return a service's state and its detail."""
        path = Path(self.environment["DENZEL_RUN_DIR"]) / f"{service}.json"
        if not path.exists():
            return "", ""
        record = json.loads(path.read_text(encoding="utf-8"))
        return record["state"], record["detail"]

    def wait_for_state(self, service: Service, state: str) -> str:
        """Wait until a service is in a state; return the detail."""
        wait_until(
            lambda: self.state(service.name)[0] == state,
            30,
            what=f"{service.name} shows {state}",
            evidence=service.output,
        )
        return self.state(service.name)[1]

    def require(self, *lines: str) -> None:
        """Write requirements.txt."""
        (self.directory / "requirements.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")

    def command(self, *lines: str) -> None:
        """Write requirements.sh."""
        text = "\n".join(["#!/usr/bin/env bash", *lines, ""])
        (self.directory / "requirements.sh").write_text(text, encoding="utf-8")

    def pip_runs(self) -> int:
        """Return how often pip installed: it keeps a log when it is told to.

        A first installation takes two runs, the runtime's and the user's.
        """
        log = Path(self.environment["PIP_LOG"])
        text = log.read_text(encoding="utf-8") if log.exists() else ""
        return text.count("Created build tracker")

    def log(self, name: str = "requirements.log") -> str:
        """Return the log that a failure points to."""
        return (self.directory / "logs" / name).read_text(encoding="utf-8")

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the lock that services install under."""
        path = Path(self.environment["DENZEL_VENV"])
        path.mkdir(parents=True, exist_ok=True)
        with (path / ".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def make_project(directory: Path, wheels: Path, packages: Path) -> Project:
    """Return a project that wants userpart 1.0, with a copy of a virtual environment."""
    copy_template(directory, None)
    (directory / "app/runtime/requirements.txt").write_text("runtimepart==1.0\n", encoding="utf-8")
    shutil.copytree(packages, directory / ".denzel" / "venv", symlinks=True)
    environment = {
        **bare_environment(),
        "API_PORT": str(free_port()),
        "DENZEL_VENV": str(directory / ".denzel" / "venv"),
        "DENZEL_RUN_DIR": str(directory / ".denzel" / "run"),
        "PIP_LOG": str(directory / "pip.log"),
        "PIP_NO_INDEX": "1",
        "PIP_FIND_LINKS": str(wheels),
    }
    project = Project(directory, environment)
    project.require("userpart==1.0")
    return project
