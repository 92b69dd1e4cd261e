"""Projects whose services are stand-ins (see stand_in.py); supervisor and Redis are real."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import venv
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path

from backends.contract import write_probe
from denzel.backends.local.backend import LocalBackend
from denzel.backends.local.layout import Layout
from denzel.backends.local.process_table import find_processes
from denzel.ports import free_port
from denzel.project import Project
from denzel.scaffold import start_project
from denzel.services import SERVICES, ServiceStatus
from port_range import FIRST_PORT

SOON = 30.0
ENTRYPOINT = """\
#!/usr/bin/env bash
cd "$(dirname "$0")/.."
exec "$DENZEL_PYTHON" -m app.stand_in {service}
"""


def stand_in_project(parent: Path, name: str = "stand_in") -> Project:
    """Make a project in ``parent`` whose services are stand-ins."""
    project = start_project(parent, name)
    write_probe(project)
    shutil.copy(Path(__file__).with_name("stand_in.py"), project.root / "app")
    (project.root / "stand_in").mkdir()
    for service in set(SERVICES) - {"redis"}:
        script = project.root / "entrypoints" / f"{service}.sh"
        script.write_text(ENTRYPOINT.format(service=service), encoding="utf-8")
    api = free_port(FIRST_PORT)
    project.set_environment(API_PORT=str(api), MONITOR_PORT=str(free_port(api + 1)))
    return project


def behave(project: Project, service: str, behaviour: str) -> None:
    """Say how ``service`` behaves from its next start on."""
    (project.root / "stand_in" / service).write_text(behaviour, encoding="utf-8")


def make_venv(project: Project) -> None:
    """Make the virtual environment the services share, empty but for Python.

    It claims to hold what the requirement files ask for.
    """
    project.private.mkdir(exist_ok=True)
    venv.create(project.private / "venv", with_pip=False, symlinks=True)
    claim = "from app.runtime.bootstrap.environment import claim_installed as claim; claim()"
    environment = {**os.environ, "DENZEL_VENV": str(project.private / "venv")}
    subprocess.run(
        [sys.executable, "-c", claim], cwd=project.root, env=environment, check=True, timeout=60
    )


@dataclass
class Launched(AbstractContextManager[LocalBackend]):
    """A launched deployment of stand-ins, taken down on leaving."""

    project: Project
    reported: list[str] = field(default_factory=list)

    def __enter__(self) -> LocalBackend:
        """Launch it."""
        make_venv(self.project)
        self.project.record_backend("local")
        self.backend = LocalBackend(self.project, self.reported.append)
        self.backend.up()
        return self.backend

    def __exit__(self, *_: object) -> None:
        """Take it down, whatever happened."""
        self.backend.down(purge=True)


def line(backend: LocalBackend, service: str) -> ServiceStatus:
    """Return what the status says of a service."""
    return next(line for line in backend.status().services if line.name == service)


def supervisor_pid(project: Project) -> int:
    """Return supervisord's process id."""
    return int((project.private / "run" / "supervisord.pid").read_text())


def processes(project: Project) -> list[int]:
    """Return the marked processes of a deployment."""
    return find_processes(Layout.of(project).mark)


def alive(pid: int) -> bool:
    """Tell whether a process runs, and is no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
