"""A project deployed by the ``denzel`` command on local processes, and what its processes are."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import requests

from denzel.backends.local.layout import Layout
from denzel.backends.local.process_table import find_processes
from denzel.ports import free_port
from denzel.project import Project
from port_range import FIRST_PORT

PIPELINE = Path(__file__).with_name("pipeline.py")
COMMAND_SECONDS = 240
READY_SECONDS = 180
ANSWER_SECONDS = 30

WORKER = "worker"
WORKER_CHILD = "worker child"
API_CHILD = "API process"
CALLBACKS = "callbacks"
REDIS = "redis"
HOST = "host of a program"
"""What replaces a service's program by that of another version, and ends with it."""
HOSTS = "app.runtime.bootstrap.host"

PROGRAMS = {
    "app.runtime.worker": (WORKER, WORKER_CHILD),
    "gunicorn": ("API", API_CHILD),
    "app.runtime.callbacks": (CALLBACKS, "callbacks child"),
    "app.runtime.monitor": ("monitor", "monitor child"),
    "-server": (REDIS, "redis child"),
}
"""By a word of the command line: what to call a service's main process, and its children."""


class Stage:
    """A local deployment of one project; ``settings`` go into its ``.env``."""

    def __init__(self, parent: Path, settings: Mapping[str, str]) -> None:
        self.parent = parent
        self.root = parent / "stage"
        self.denzel("startproject", "stage", cwd=parent)
        (self.root / "app/logic/pipeline.py").write_text(PIPELINE.read_text())
        self.port = free_port(FIRST_PORT)
        self.monitor_port = free_port(self.port + 1)
        self.url = f"http://127.0.0.1:{self.port}"
        self.project.set_environment(**settings)

    @property
    def project(self) -> Project:
        """The project as its files are now."""
        return Project(self.root)

    def denzel(self, *arguments: str, cwd: Path | None = None) -> str:
        """Type a command of the ``denzel`` installed beside this Python; return what it printed."""
        done = subprocess.run(
            [str(Path(sys.executable).with_name("denzel")), *arguments],
            cwd=cwd or self.root,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=COMMAND_SECONDS,
        )
        assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
        return done.stdout

    def launch(self) -> None:
        """Launch and wait until everything is up."""
        ports = ["--api-port", str(self.port), "--monitor-port", str(self.monitor_port)]
        wait = ["--wait", "--timeout", str(READY_SECONDS)]
        self.denzel("launch", "--local", *ports, *wait)

    def wait_until_ready(self) -> None:
        """Wait until every line of the status says UP."""
        self.denzel("status", "--wait", "--timeout", str(READY_SECONDS))

    def end(self) -> None:
        """Leave nothing of the deployment."""
        self.denzel("shutdown", "--purge")

    def processes(self) -> dict[int, str]:
        """Return the process id and the role of every process of the services."""
        commands = {}
        with suppress(FileNotFoundError):  # the mark goes with the deployment
            for pid in find_processes(Layout.of(Project(self.root)).mark):
                commands[pid] = command_line(pid)
        roles = {}
        for pid, command in commands.items():
            if HOSTS in command:
                roles[pid] = HOST
                continue
            parent = commands.get(parent_of(pid), "")
            for word, (main, child) in PROGRAMS.items():
                if word in command:
                    roles[pid] = child if word in parent and HOSTS not in parent else main
        return roles

    def pids(self, role: str) -> list[int]:
        """Return the processes that have this role now."""
        return [pid for pid, its_role in self.processes().items() if its_role == role]

    def ask(self, method: str, path: str, **options: Any) -> requests.Response:
        """Send one request."""
        return requests.request(method, self.url + path, timeout=ANSWER_SECONDS, **options)


def command_line(pid: int) -> str:
    """Return a process's command line, empty when it has ended."""
    with suppress(OSError):
        return (Path("/proc") / str(pid) / "cmdline").read_text().replace("\0", " ")
    return ""


def parent_of(pid: int) -> int:
    """Return the process id of a process's parent, 0 when it has ended."""
    with suppress(OSError):
        return int((Path("/proc") / str(pid) / "stat").read_text().rpartition(")")[2].split()[1])
    return 0
