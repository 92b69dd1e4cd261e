"""Which revision of the project this is, where git keeps it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from denzel import process
from denzel.errors import CommandError, EngineError

DIRTY = "-dirty"
"""Marks a revision that was changed since it was committed, as `git describe` has it."""
GIT_SECONDS = 30.0


@dataclass(frozen=True)
class Revision:
    """A commit: its hash, how git describes it, and when it was made, in seconds since 1970."""

    hash: str
    description: str
    committed: int


def find_revision(directory: Path) -> Revision | None:
    """Return the revision of what is in a directory; None where git does not know it.

    One with changes, or files of which git knows nothing, is marked as DIRTY.
    """
    try:
        commit = _git(directory, "log", "-1", "--format=%H %ct", "--", ".").split()
        if not commit:
            return None
        described = _git(directory, "describe", "--tags", "--always").strip()
        dirty = DIRTY if _git(directory, "status", "--porcelain", "--", ".").strip() else ""
    except (CommandError, EngineError):
        return None
    return Revision(commit[0] + dirty, described + dirty, int(commit[1]))


def _git(directory: Path, *arguments: str) -> str:
    argv = ["git", "-C", str(directory), *arguments]
    return process.run(argv, timeout=GIT_SECONDS).decode(errors="replace")
