"""What was done already, written down: fingerprints, stamps, and the lock around both."""

from __future__ import annotations

import fcntl
import hashlib
import json
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any


def fingerprint(files: Iterable[Path]) -> str:
    """Return a digest of the files' contents and of the Python that installs them."""
    digest = hashlib.sha256(sys.version.encode())
    for file in files:
        digest.update(file.read_bytes() if file.is_file() else b"")
        digest.update(b"\0")
    return digest.hexdigest()


def read_stamp(path: Path) -> dict[str, Any]:
    """Return what a stamp holds; nothing when there is none, or half of one."""
    try:
        stamp = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return stamp if isinstance(stamp, dict) else {}


def write_stamp(path: Path, stamp: Mapping[str, Any]) -> None:
    """Replace a stamp in one step."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".new")
    temporary.write_text(json.dumps(stamp), encoding="utf-8")
    temporary.replace(path)


@contextmanager
def locked(directory: Path) -> Iterator[int]:
    """Hold the directory's lock and yield its descriptor.

    The kernel releases it when the last process that has the descriptor ends, however it ends.
    A child that changes the directory inherits it: it may outlive this process.
    """
    directory.mkdir(parents=True, exist_ok=True)
    with (directory / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield lock.fileno()
