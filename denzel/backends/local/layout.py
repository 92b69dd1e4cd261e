"""Where the local backend keeps its things: paths inside ``.denzel``, sockets, the mark.

Everything lies in the project's private directory but for the sockets: a unix socket's path
is limited to about a hundred bytes, so a project that lies deep has them in a directory of
its own under ``/tmp``.
"""

from __future__ import annotations

import os
import re
import shutil
import socket
import stat
from dataclasses import dataclass
from pathlib import Path

from denzel.errors import EngineError
from denzel.project import Project
from denzel.services import number_of

SHORT_ROOT = Path("/tmp")  # not $TMPDIR, which may be long or differ from terminal to terminal
PLAIN_PATH = re.compile(r"[A-Za-z0-9/._-]+")
"""Paths that need no quoting in a URL."""
DEVELOPMENT = "dev"
"""The directory of what ``denzel dev`` runs, in the private one."""
SUPERVISOR_SOCKET = "supervisor.sock"
REDIS_SOCKET = "redis.sock"
LONGEST_SOCKET_NAME = f"{SUPERVISOR_SOCKET}.4194304"
"""supervisor binds its socket under a name with its process id first (supervisor/http.py)."""


@dataclass(frozen=True)
class Layout:
    """The paths of one project's local deployment."""

    root: Path
    private: Path
    logs: Path

    @classmethod
    def of(cls, project: Project) -> Layout:
        """Return the layout of ``project``."""
        return cls(project.root, project.private, project.logs)

    def relative(self, path: Path) -> str:
        """Return a path as seen from the project's directory, where services run."""
        return path.relative_to(self.root).as_posix()

    @property
    def run(self) -> Path:
        """Where services write their state."""
        return self.private / "run"

    def run_of(self, replica: str) -> Path:
        """Where a service's replica writes its state."""
        return self.run if number_of(replica) == 1 else self.run / replica

    @property
    def venv(self) -> Path:
        """The virtual environment the services share."""
        return self.private / "venv"

    @property
    def python(self) -> Path:
        """The virtual environment's interpreter."""
        return self.venv / "bin" / "python"

    @property
    def redis_data(self) -> Path:
        """Where Redis keeps its append-only file."""
        return self.private / "redis"

    @property
    def redis_config(self) -> Path:
        """The file Redis is started with."""
        return self.private / "redis.conf"

    @property
    def deployment(self) -> Path:
        """Where the deployment is noted; the file exists from launch to shutdown."""
        return self.private / "deployment.json"

    @property
    def supervisor_config(self) -> Path:
        """The file supervisord is started with."""
        return self.private / "supervisord.conf"

    @property
    def supervisor_log(self) -> Path:
        """What supervisord did and saw."""
        return self.private / "supervisord.log"

    @property
    def sockets(self) -> Path:
        """The directory that holds the sockets now, if any does."""
        if (self._short / SUPERVISOR_SOCKET).exists() and _is_private(self._short):
            return self._short
        return self.run

    @property
    def supervisor_socket(self) -> Path:
        """Where supervisord listens now, if it runs."""
        return self.sockets / SUPERVISOR_SOCKET

    @property
    def redis_socket(self) -> Path:
        """Where Redis listens now, if it runs."""
        return self.sockets / REDIS_SOCKET

    @property
    def mark(self) -> str:
        """What all processes of this deployment carry, and no other's.

        The private directory's inode: it stays when the project is moved, and a copy of the
        project has another one.
        """
        return _mark_of(self.private)

    def create(self) -> None:
        """Make the private directories; nobody else can look into them."""
        self.private.mkdir(mode=0o700, exist_ok=True)
        for directory in (self.run, self.redis_data):
            directory.mkdir(mode=0o700, exist_ok=True)
        self.logs.mkdir(exist_ok=True)

    def choose_socket_directory(self) -> Path:
        """Make and return a directory in which sockets can be bound.

        Raises EngineError when there is none.
        """
        self.forget_sockets()
        if PLAIN_PATH.fullmatch(str(self.run)) and _binds_sockets(self.run):
            return self.run
        short = self._short
        short.mkdir(mode=0o700, exist_ok=True)
        if not _is_private(short) or not _binds_sockets(short):
            raise EngineError(
                f"The services' sockets can be made neither in {self.run} nor in {short}; "
                "move the project to a shorter path on a local disk"
            )
        return short

    def forget_sockets(self) -> None:
        """Remove the sockets of an earlier run, and their directory outside the project."""
        for name in (SUPERVISOR_SOCKET, REDIS_SOCKET):
            (self.run / name).unlink(missing_ok=True)
        if self.private.exists() and _is_private(self._short):
            shutil.rmtree(self._short, ignore_errors=True)

    def forget_states(self) -> None:
        """Remove what services of an earlier run wrote about themselves."""
        for file in (*self.run.glob("*.json"), *self.run.glob("*/*.json")):
            file.unlink(missing_ok=True)

    @property
    def _short(self) -> Path:
        mark = self.mark if self.private.exists() else "none"
        return SHORT_ROOT / f"denzel-{os.getuid()}-{mark}"


def known_marks(root: Path) -> set[str]:
    """Return the marks of a project's deployments, as launched and by ``denzel dev``."""
    private = root / ".denzel"
    return {_mark_of(each) for each in (private, private / DEVELOPMENT) if each.exists()}


def _mark_of(private: Path) -> str:
    status = private.stat()
    return f"{status.st_dev}-{status.st_ino}"


def _is_private(directory: Path) -> bool:
    """Tell whether the directory is this user's own and closed to everyone else."""
    try:
        status = directory.lstat()
    except OSError:
        return False
    closed = stat.S_ISDIR(status.st_mode) and stat.S_IMODE(status.st_mode) == 0o700
    return closed and status.st_uid == os.getuid()


def _binds_sockets(directory: Path) -> bool:
    """Tell whether a socket can be bound, and linked as supervisor does, in ``directory``."""
    probe, link = directory / LONGEST_SOCKET_NAME, directory / "probe"
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
            listener.bind(str(probe))
            os.link(probe, link)
    except OSError:
        return False
    finally:
        probe.unlink(missing_ok=True)
        link.unlink(missing_ok=True)
    return True
