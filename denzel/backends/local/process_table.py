"""Find and end every process of a local deployment, whoever its parent is by now.

supervisord ends what it knows.  What is left over is found here: children that outlived their
service, and everything when supervisord itself was killed.  All of them carry the deployment's
mark in their environment.  A program may overwrite that (setproctitle does), so on Linux the
session that supervisord made is looked at, too.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from denzel import process
from denzel.errors import CommandError, ServiceError

MARK_VARIABLE = "DENZEL_DEPLOYMENT"
PROC = Path("/proc")
GRACE_SECONDS = 5.0
POLL_SECONDS = 0.05


def find_processes(mark: str, session: int | None) -> list[int]:
    """Return the deployment's processes, but for this one and those it descends from.

    ``session`` is the process id of the supervisord that was started last, if it is known.
    """
    if not PROC.joinpath("self", "environ").exists():
        found = _find_with_ps(mark)
    else:
        pids = [int(entry.name) for entry in PROC.iterdir() if entry.name.isdigit()]
        marked = {pid for pid in pids if _is_marked(pid, mark)}
        # While a session has members its number is given to no other process; a leader that
        # is alive and not ours means that the number is in use by someone else.
        alien = session is None or (session in pids and session not in marked)
        members = set() if alien else {pid for pid in pids if _session(pid) == session}
        found = marked | members
    return sorted(found - _own_line())


def end_processes(find: Callable[[], list[int]], grace: float = GRACE_SECONDS) -> None:
    """End all that ``find`` returns: SIGTERM, and SIGKILL for what is left after ``grace`` s.

    Raises ServiceError if some process survives even that.
    """
    for number, seconds in ((signal.SIGTERM, grace), (signal.SIGKILL, GRACE_SECONDS)):
        deadline = time.monotonic() + seconds
        signalled: set[int] = set()
        while left := find():
            for pid in left:
                if pid not in signalled:
                    with suppress(ProcessLookupError, PermissionError):
                        os.kill(pid, number)
                    signalled.add(pid)
            if time.monotonic() > deadline:
                break
            time.sleep(POLL_SECONDS)
        else:
            return
    raise ServiceError(
        f"Processes {', '.join(map(str, left))} of this project do not end, not even killed; "
        "they wait for the system, perhaps for a disk"
    )


def _is_marked(pid: int, mark: str) -> bool:
    entry = f"{MARK_VARIABLE}={mark}".encode()
    try:
        return entry in (PROC / str(pid) / "environ").read_bytes().split(b"\0")
    except OSError:
        return False


def _status_fields(pid: int) -> list[str]:
    """Return /proc/PID/stat from its third field on (proc(5)); the second may hold spaces."""
    try:
        return (PROC / str(pid) / "stat").read_text(errors="replace").rpartition(")")[2].split()
    except OSError:
        return []


def _session(pid: int) -> int | None:
    fields = _status_fields(pid)
    return int(fields[3]) if fields and fields[0] != "Z" else None


def _own_line() -> set[int]:
    """Return this process and its ancestors, as far as they can be told."""
    line = {os.getpid(), os.getppid()}
    pid = os.getppid()
    while pid > 1 and (fields := _status_fields(pid)):
        pid = int(fields[1])
        line.add(pid)
    return line


def _find_with_ps(mark: str) -> set[int]:
    """Find marked processes where there is no /proc: ps shows environments, too."""
    shows_environment = ["-E"] if sys.platform == "darwin" else ["e"]
    try:
        listing = process.run(["ps", "-A", *shows_environment, "-ww", "-o", "pid=,command="])
    except CommandError:
        return set()
    entry = f" {MARK_VARIABLE}={mark} "
    lines = listing.decode(errors="replace").splitlines()
    return {int(line.split()[0]) for line in lines if entry in f"{line} "}
