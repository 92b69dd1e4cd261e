"""The memory of processes, as Linux tells it (proc(5))."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path


def memory_bytes(pids: Iterable[int] = ()) -> int:
    """Return what this process, and those with ``pids``, have in memory together.

    What several of them share, such as a model, counts once where the kernel says how much it is.
    """
    return sum(_memory(pid) for pid in (os.getpid(), *pids))


def _memory(pid: int) -> int:
    try:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_bytes().splitlines():
            if line.startswith(b"Pss:"):
                return int(line.split()[1]) * 1024
        resident = Path(f"/proc/{pid}/statm").read_bytes().split()[1]
        return int(resident) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, IndexError, ValueError):
        return 0  # it has just ended, or its owner is another one
