"""What the kernel says of processes: whose children they are, and how long they have computed.

Source: proc(5), ``/proc/PID/stat``.  Where there is no ``/proc``, nothing is found.
"""

from __future__ import annotations

import os
import signal
from collections import defaultdict
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

_TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
_PROC = Path("/proc")


class _Process(NamedTuple):
    parent: int
    group: int
    cpu_seconds: float


def children_of(pid: int) -> list[int]:
    """Return the processes whose parent is ``pid``, ended but not yet reaped ones included."""
    return [each for each, process in _every_process().items() if process.parent == pid]


def members_of(group: int, variable: str) -> list[int]:
    """Return the processes of a group that were started with ``variable``.

    That is ``NAME=directory``; the directory may also be one in it.
    """
    exact, inside = variable.encode(), f"{variable}/".encode()
    found = []
    for pid, process in _every_process().items():
        with suppress(OSError):  # it has ended, or is another user's
            if process.group == group:
                environment = (_PROC / str(pid) / "environ").read_bytes().split(b"\0")
                fits = any(each == exact or each.startswith(inside) for each in environment)
                found += [pid] if fits else []
    return found


def end_process(pid: int) -> None:
    """End a process, if it is there still; it may not listen to anything else than SIGKILL."""
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def cpu_seconds(pids: Iterable[int]) -> dict[int, float]:
    """Return how long each process and all its descendants have used a processor.

    Those of its children that have ended count, if they were waited for.  Every process of the
    machine is looked at, once: none tells who its children are.
    """
    processes = _every_process()
    children: dict[int, list[int]] = defaultdict(list)
    for each, process in processes.items():
        children[process.parent].append(each)
    return {pid: _sum_up(pid, processes, children) for pid in pids}


def _sum_up(
    pid: int, processes: Mapping[int, _Process], children: Mapping[int, list[int]]
) -> float:
    total, left = 0.0, [pid]
    while left:
        each = left.pop()
        if each in processes:
            total += processes[each].cpu_seconds
            left += children.get(each, [])
    return total


def _every_process() -> dict[int, _Process]:
    found = {}
    for directory in _PROC.glob("[0-9]*"):
        with suppress(OSError):  # it has ended meanwhile
            text = (directory / "stat").read_text(encoding="utf-8", errors="replace")
            # The program's name, in brackets, may hold anything; state, parent, group follow.
            fields = text.rpartition(")")[2].split()
            seconds = sum(map(int, fields[11:15])) / _TICKS_PER_SECOND
            found[int(directory.name)] = _Process(int(fields[1]), int(fields[2]), seconds)
    return found
