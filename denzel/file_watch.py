"""Which of a project's files have been saved: looked at again and again, as any file system allows.

A look at a hundred files takes a millisecond, so no library, and none of the system's limits, is
needed for it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

APP = "app"
SETTINGS_FILES = (".env", ".env.secrets")
PATTERNS = ("*.py", "requirements*.txt", "requirements.sh", *SETTINGS_FILES)
"""What counts of the files outside ``app``, in which every file does."""
PASSED_OVER = frozenset({"__pycache__", "logs", "node_modules", "venv", "entrypoints"})
READ_AFRESH = "app/assets/info.txt"
"""The API reads it at each request."""

Snapshot = dict[str, tuple[int, int]]


class FileWatch:
    """Tells which files below ``root`` have changed since it was asked last."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._known = self._look()

    def changed(self) -> list[str]:
        """Return the paths, relative to the root, that were written, made or removed."""
        now = self._look()
        paths = {path for path in now | self._known if now.get(path) != self._known.get(path)}
        self._known = now
        return sorted(paths)

    def _look(self) -> Snapshot:
        return dict(self._files(self._root, everything=False))

    def _files(self, directory: Path, *, everything: bool) -> Iterator[tuple[str, tuple[int, int]]]:
        """Yield each file that counts, with its time and size."""
        try:
            entries = list(os.scandir(directory))
        except OSError:  # removed, or somebody else's
            return
        for entry in entries:
            path = Path(entry.path)
            if entry.is_dir():
                if _is_entered(path):
                    in_app = directory == self._root and entry.name == APP
                    yield from self._files(path, everything=everything or in_app)
            elif everything or any(path.match(pattern) for pattern in PATTERNS):
                name = path.relative_to(self._root).as_posix()
                try:
                    status = entry.stat()
                except OSError:
                    continue
                if name != READ_AFRESH and not entry.name.endswith((".pyc", "~", ".swp")):
                    yield name, (status.st_mtime_ns, status.st_size)


def _is_entered(directory: Path) -> bool:
    if directory.name.startswith(".") or directory.name in PASSED_OVER or directory.is_symlink():
        return False
    return not (directory / "pyvenv.cfg").exists()
