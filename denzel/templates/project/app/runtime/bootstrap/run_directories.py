"""Where the programs of a service's versions write their states, and which of them are seen.

Each program gets a link in ``$DENZEL_RUN_DIR`` as its run directory.  That of the one which serves
leads to ``$DENZEL_RUN_DIR`` itself, that of any other to a directory of its own: turning the link
shows its states in place of the others'.
"""

from __future__ import annotations

import os
import shutil
import socket
import stat
from pathlib import Path

from app.runtime.settings import run_directory


class RunDirectories:
    """The run directories of one service's programs."""

    def __init__(self, service: str) -> None:
        self._root = Path(os.environ.get("DENZEL_PROJECT", ""), run_directory()).absolute()
        self._root.mkdir(parents=True, exist_ok=True)
        self._service = service
        self._count = 0
        for path in self._root.glob(f".{service}-*"):
            _remove(path)

    def create(self, *, shown: bool) -> Path:
        """Return the run directory of a program that is about to start."""
        self._count += 1
        link = self._root / f".{self._service}-{self._count}"
        own = self._own(link)
        own.mkdir(mode=0o755)
        link.symlink_to("." if shown else own.name)
        return link

    def show(self, link: Path, *, instead_of: Path) -> None:
        """Show the states that were written to ``link``, and no more of the others."""
        _turn(instead_of, self._own(instead_of).name)
        self._move(self._own(link))
        _turn(link, ".")
        self._move(self._own(link))  # what came in between

    def remove(self, link: Path) -> None:
        """Remove the run directory of a program that has ended."""
        _remove(link)
        _remove(self._own(link))

    def listen(self) -> socket.socket:
        """Return a socket over which the service can be asked to run another version."""
        return _at(self._root, f"{self._service}.sock", "listen")

    def close(self) -> None:
        """Remove what only a running service has."""
        for path in (self._root / f"{self._service}.sock", *self._root.glob(f".{self._service}-*")):
            _remove(path)

    def _own(self, link: Path) -> Path:
        return link.with_name(f"{link.name}.own")

    def _move(self, directory: Path) -> None:
        for path in directory.iterdir():
            if not path.name.startswith("."):
                path.replace(self._root / path.name)


def connect(service: str) -> socket.socket:
    """Return a connection to a service's host.  Raises OSError when it does not run."""
    return _at(Path(run_directory()), f"{service}.sock", "connect")


def _at(directory: Path, name: str, what: str) -> socket.socket:
    """Listen at or connect to a unix socket, whose path may be too long for the system."""
    here = os.open(".", os.O_RDONLY | os.O_DIRECTORY)
    found = socket.socket(socket.AF_UNIX)
    try:
        os.chdir(directory)
        if what == "connect":
            found.connect(name)
        else:
            Path(name).unlink(missing_ok=True)
            found.bind(name)
            Path(name).chmod(stat.S_IRUSR | stat.S_IWUSR)
            found.listen()
    except OSError:
        found.close()
        raise
    finally:
        os.fchdir(here)
        os.close(here)
    return found


def _turn(link: Path, target: str) -> None:
    temporary = link.with_name(f"{link.name}.new")
    temporary.unlink(missing_ok=True)
    temporary.symlink_to(target)
    temporary.replace(link)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
