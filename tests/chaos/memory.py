"""The memory of processes that is theirs alone, from /proc (proc(5), smaps_rollup)."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

MIB = 2**20


def private_bytes(pid: int) -> int:
    """Return the memory that a process shares with no other, 0 when it has ended."""
    with suppress(OSError):
        lines = (Path("/proc") / str(pid) / "smaps_rollup").read_text().splitlines()
        return 1024 * sum(int(line.split()[1]) for line in lines if line.startswith("Private_"))
    return 0


def private_mib(pids: Iterable[int]) -> float:
    """Return the same for several processes together, in MiB."""
    return sum(map(private_bytes, pids)) / MIB
