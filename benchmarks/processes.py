"""What a server's processes use, all of them together, read from /proc (proc(5))."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

MARK_VARIABLE = "DENZEL_BENCHMARK_SIDE"
PROC = Path("/proc")
TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Memory:
    """Memory of several processes in MiB.

    ``rss`` counts a page once for each process that maps it, ``pss`` shares it out.
    """

    pss: float
    rss: float


def find_processes(mark: str) -> list[int]:
    """Return the processes that carry ``mark`` in their environment, and their descendants.

    Descendants, because a program may overwrite its environment.
    """
    pids = [int(entry.name) for entry in PROC.iterdir() if entry.name.isdigit()]
    children: dict[int, list[int]] = defaultdict(list)
    for pid in pids:
        fields = _stat(pid)
        if fields and fields[0] != "Z":
            children[int(fields[1])].append(pid)
    found: set[int] = set()
    pending = [pid for pid in pids if _is_marked(pid, mark)]
    while pending:
        pid = pending.pop()
        if pid not in found:
            found.add(pid)
            pending += children[pid]
    return sorted(found)


def cpu_seconds(pids: Iterable[int]) -> float:
    """Return the processor time the processes have used, ended children of theirs included."""
    fields = [stat for stat in map(_stat, pids) if stat]
    # utime, stime, cutime and cstime are the fields 14 to 17; the list begins with the third.
    return sum(sum(map(int, stat[11:15])) for stat in fields) / TICKS


def memory(pids: Iterable[int]) -> Memory:
    """Return what the processes keep in memory; one that has just ended counts nothing."""
    pss = rss = 0
    for pid in pids:
        try:
            lines = (PROC / str(pid) / "smaps_rollup").read_text().splitlines()
        except OSError:
            continue
        sizes = {name: rest for name, _, rest in (line.partition(":") for line in lines)}
        pss += int(sizes["Pss"].split()[0])
        rss += int(sizes["Rss"].split()[0])
    return Memory(pss=pss / 1024, rss=rss / 1024)


def _stat(pid: int) -> list[str]:
    """Return /proc/PID/stat from its third field on; the second may hold spaces."""
    try:
        return (PROC / str(pid) / "stat").read_text(errors="replace").rpartition(")")[2].split()
    except OSError:
        return []


def _is_marked(pid: int, mark: str) -> bool:
    entry = f"{MARK_VARIABLE}={mark}".encode()
    try:
        return entry in (PROC / str(pid) / "environ").read_bytes().split(b"\0")
    except OSError:
        return False
