"""Change several files of a directory, all of them or none."""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from denzel.env_file import default_mode


@dataclass
class FileChanges:
    """Files to write, to move aside and to remove below ``root``, by their relative paths.

    Nothing happens before :meth:`apply`.
    """

    root: Path
    contents: dict[str, bytes] = field(default_factory=dict)
    modes: dict[str, int] = field(default_factory=dict)
    moves: dict[str, str] = field(default_factory=dict)
    removals: list[str] = field(default_factory=list)

    def write(self, path: str, content: bytes, *, mode: int | None = None) -> None:
        """Make or replace a file; without a ``mode`` it keeps its own, and scripts get theirs."""
        self.contents[path] = content
        if mode is not None:
            self.modes[path] = mode

    def move(self, path: str, target: str) -> None:
        """Give a file another name, before others are written."""
        self.moves[path] = target

    def remove(self, path: str) -> None:
        """Remove a file."""
        self.removals.append(path)

    def apply(self) -> None:
        """Make the changes.

        Everything is written beside its place first, so that a full disk changes nothing; then
        files are renamed one by one, which an interruption can cut short: the next try goes on.
        Raises OSError.
        """
        # Secrets pass through it: neither git nor an image takes a name that begins so.
        staging = Path(tempfile.mkdtemp(prefix=".env.secrets.upgrade-", dir=self.root))
        try:
            for number, (path, content) in enumerate(self.contents.items()):
                staged = staging / str(number)
                staged.write_bytes(content)
                staged.chmod(self._mode(path, content))
            for path, target in self.moves.items():
                (self.root / path).replace(self.root / target)
            for number, path in enumerate(self.contents):
                (self.root / path).parent.mkdir(parents=True, exist_ok=True)
                (staging / str(number)).replace(self.root / path)
            for path in self.removals:
                (self.root / path).unlink(missing_ok=True)
        finally:
            shutil.rmtree(staging, ignore_errors=True)

    def _mode(self, path: str, content: bytes) -> int:
        if path in self.modes:
            return self.modes[path]
        target = self.root / path
        mode = target.stat().st_mode & 0o7777 if target.exists() else default_mode()
        # Installers may drop the execute bit, so it is not taken from the template's file.
        return mode | 0o111 if content.startswith(b"#!") else mode
