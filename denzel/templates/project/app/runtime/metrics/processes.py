"""The memory of processes, as Linux tells it (proc(5))."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from pathlib import Path
from time import monotonic

MEASURED_SECONDS = 15.0
"""After how long a process is measured again."""
AT_ONCE_SECONDS = 0.01
PAUSE = 100
"""How many times as long nothing is measured as it took.

The kernel looks at every page of a process: 10 to 20 ms for each gigabyte, in which a worker takes
no request."""


class Memory:
    """Measures processes now and then; ``measure`` returns a process's bytes, ``clock`` seconds."""

    def __init__(
        self,
        measure: Callable[[int], int] | None = None,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._measure = measure or memory_bytes
        self._clock = clock
        self._found: dict[int, tuple[float, int]] = {}
        self._next = float("-inf")

    def total(self, pids: Iterable[int]) -> int:
        """Return what these have in memory together, as far as they have been measured.

        What takes long is measured one process at a time.
        """
        never = (float("-inf"), 0)
        self._found = {pid: self._found.get(pid, never) for pid in pids}
        began = self._clock()
        if began >= self._next:
            for pid, (moment, _) in sorted(self._found.items(), key=lambda each: each[1][0]):
                spent = self._clock() - began
                if spent > AT_ONCE_SECONDS or began - moment < MEASURED_SECONDS:
                    break
                self._found[pid] = began, self._measure(pid)
            self._next = began + PAUSE * (self._clock() - began)
        return sum(size for _, size in self._found.values())


def memory_bytes(pid: int) -> int:
    """Return what a process has in memory, 0 for one that has ended.

    What several share, such as a model, is divided among them where the kernel says how much it is.
    """
    try:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_bytes().splitlines():
            if line.startswith(b"Pss:"):
                return int(line.split()[1]) * 1024
        resident = Path(f"/proc/{pid}/statm").read_bytes().split()[1]
        return int(resident) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, IndexError, ValueError):
        return 0  # it has just ended, or its owner is another one
