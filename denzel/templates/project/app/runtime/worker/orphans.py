"""End the processes that a dead worker process has left behind.

A worker process may start others: multiprocessing's, joblib's, any program.  When it ends, however
it ends, the kernel makes them children of the worker's main process, which asked for that
(``PR_SET_CHILD_SUBREAPER``, prctl(2)), and ends them.  ``PR_SET_PDEATHSIG`` would not do: it is
lost on the next fork, and also strikes when just the thread that forked has ended.
"""

from __future__ import annotations

import ctypes
import logging
import os
import signal
import sys
import time
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path

from app.runtime.worker.process_tree import children_of, end_process, members_of

_PR_SET_CHILD_SUBREAPER = 36
LAST_SECONDS = 2.0
"""How long processes left behind have, at the worker's end, between SIGTERM and SIGKILL."""

log = logging.getLogger("denzel.orphans")


def adopt_orphans() -> None:
    """Become the parent of processes whose parent dies, among this process's descendants."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def end_children() -> None:
    """End all that this process has started, and what that has started."""
    while children := children_of(os.getpid()):
        for pid in children:
            with suppress(ProcessLookupError, ChildProcessError):
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)


def end_leftovers(run_directory: str) -> None:
    """End what an earlier worker has left behind that was killed, and note this one's group.

    The processes of a pool are killed with the main process, but not their children.  Those are
    known by its process group, which nobody else can have as long as one of them lives, and by
    the run directory in their environment.
    """
    note = Path(run_directory) / "worker-group.txt"
    # It may be this worker's own link in the directory that is the workers' of all versions.
    shared = Path(run_directory)
    shared = shared.parent if shared.is_symlink() else shared
    with suppress(OSError, ValueError):
        group = int(note.read_text(encoding="ascii"))
        if not Path(f"/proc/{group}").exists():
            for pid in members_of(group, f"DENZEL_RUN_DIR={shared}"):
                log.warning("Ending process %d, left behind by a worker that was killed", pid)
                end_process(pid)
    if os.getpgrp() == os.getpid():
        note.write_text(str(os.getpid()), encoding="ascii")
    else:
        note.unlink(missing_ok=True)


class Orphans:
    """Lives in the worker's main process; children it has when this is made are spared."""

    def __init__(self, pool: Collection[int]) -> None:
        self._spared = set(children_of(os.getpid())) - set(pool)
        self._pool = set(pool)
        self._are_due = False
        self._told: set[int] = set()

    def look(self, pool: Collection[int]) -> None:
        """End orphans, if a process of the pool has ended since the last call.

        They get SIGTERM first, and SIGKILL at the next call.
        """
        if self._pool - set(pool):
            self._are_due = True
        self._pool = set(pool)
        if self._are_due:
            self._are_due = self._end(self._pool)

    def end_all(self) -> None:
        """End every orphan; called when the pool has ended."""
        deadline = time.monotonic() + LAST_SECONDS
        while self._end(set(), force=time.monotonic() > deadline):
            time.sleep(0.05)

    def _end(self, pool: Collection[int], force: bool | None = None) -> bool:
        """Signal and reap orphans; return whether there were any."""
        found = set(children_of(os.getpid())) - set(pool) - self._spared
        for pid in found:
            with suppress(ProcessLookupError, ChildProcessError):
                if os.waitpid(pid, os.WNOHANG)[0]:
                    continue
                kill = pid in self._told if force is None else force
                if kill or pid not in self._told:
                    log.warning("Ending process %d, left behind by a worker process", pid)
                    os.kill(pid, signal.SIGKILL if kill else signal.SIGTERM)
        self._told = found
        return bool(found)
