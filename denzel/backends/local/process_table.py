"""Find and end every process of a local deployment, whoever its parent is by now.

supervisord ends what it knows.  What is left over is found here: children that outlived their
service, and everything when supervisord itself was killed.  All of them carry the deployment's
mark in their environment.  A program may start another without it, so on Linux the session that
supervisord made is looked at, too; but its number alone, which may have been given to someone else
since, makes nobody ours.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Container, Iterable
from contextlib import suppress
from pathlib import Path

from denzel import process
from denzel.errors import CommandError, ServiceError

MARK_VARIABLE = "DENZEL_DEPLOYMENT"
SERVICE_VARIABLE = "SUPERVISOR_PROCESS_NAME"
"""What supervisord tells each program in its environment (supervisord.org/subprocess.html)."""
PROC = Path("/proc")
DELETED = " (deleted)"
"""What the kernel adds to the path of a directory that is gone (proc(5), /proc/PID/cwd)."""
GRACE_SECONDS = 5.0
POLL_SECONDS = 0.05


def find_processes(mark: str, session: int | None = None, root: Path | None = None) -> list[int]:
    """Return the deployment's processes, but for this one and those it descends from.

    ``session`` is the process id of the supervisord that was started last, if it is known; ``root``
    is the project's directory, in which its services run.
    """
    found = set(find_services(mark))
    if _has_proc():
        pids = _all_pids()
        # A leader that is alive and not ours means that the number is in use by someone else.
        if session is not None and root is not None and (session in found or session not in pids):
            found |= {pid for pid in pids if _session(pid) == session and _works_in(pid, root)}
        found = _with_descendants(found, pids)
    return sorted(found - _own_line())


def find_services(mark: str) -> dict[int, str]:
    """Return the marked processes, each with the name of its service; supervisord has none."""
    if not _has_proc():
        return _find_with_ps(mark)
    entry = f"{MARK_VARIABLE}={mark}"
    found = {pid: environment for pid in _all_pids() if entry in (environment := _environ(pid))}
    return {pid: _service(environment) for pid, environment in found.items()}


def find_abandoned(root: Path, marks: Container[str]) -> list[int]:
    """Return the processes of deployments of ``root`` of which nothing else is left.

    Their private directory was deleted, or all of ``root``.  ``marks`` are those of the
    deployments of which there is more.
    """
    if not _has_proc():
        return []
    pids = _all_pids()
    marked = {
        pid for pid in pids if _worked_in(pid, root) and (mark := _mark(pid)) and mark not in marks
    }
    return sorted(_with_descendants(marked, pids) - _own_line())


def main_processes(mark: str) -> dict[str, list[int]]:
    """Return each service's processes that no other of the service started: it ends with them."""
    services = find_services(mark)
    mains: dict[str, list[int]] = {}
    for pid, name in services.items():
        fields = _status_fields(pid)
        if name and fields and services.get(int(fields[1])) != name:
            mains.setdefault(name, []).append(pid)
    return mains


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


def _has_proc() -> bool:
    return PROC.joinpath("self", "environ").exists()


def _all_pids() -> set[int]:
    return {int(entry.name) for entry in PROC.iterdir() if entry.name.isdigit()}


def _environ(pid: int) -> list[str]:
    try:
        return (PROC / str(pid) / "environ").read_bytes().decode(errors="replace").split("\0")
    except OSError:
        return []


def _service(environment: Iterable[str]) -> str:
    """Return the service whose process has an environment; empty for supervisord's own."""
    prefix = f"{SERVICE_VARIABLE}="
    return next((entry[len(prefix) :] for entry in environment if entry.startswith(prefix)), "")


def _with_descendants(found: set[int], pids: Iterable[int]) -> set[int]:
    """Return processes and all that they and their children have started."""
    parents = {pid: int(fields[1]) for pid in pids if (fields := _status_fields(pid))}
    while more := {pid for pid, parent in parents.items() if parent in found} - found:
        found = found | more
    return found


def _works_in(pid: int, directory: Path) -> bool:
    """Tell whether a process of this user's has ``directory``, or one in it, as its current one."""
    return Path(_current_directory(pid)).is_relative_to(directory.resolve())


def _worked_in(pid: int, root: Path) -> bool:
    """Tell whether a process's current directory is ``root``, or was it, or was private there."""
    where = _current_directory(pid)
    if where.endswith(DELETED):
        return where == f"{root}{DELETED}" or where.startswith(f"{root}/.denzel/")
    try:
        return where == str(root.resolve()) and (PROC / str(pid) / "cwd").samefile(root)
    except OSError:
        return False


def _current_directory(pid: int) -> str:
    """Return a process's current directory; empty when it has ended, or is another user's."""
    try:
        return str((PROC / str(pid) / "cwd").readlink())
    except OSError:
        return ""


def _mark(pid: int) -> str:
    """Return the mark of the deployment that a process belongs to; empty when it does to none."""
    prefix = f"{MARK_VARIABLE}="
    return next((entry[len(prefix) :] for entry in _environ(pid) if entry.startswith(prefix)), "")


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


def _find_with_ps(mark: str) -> dict[int, str]:
    """Find marked processes where there is no /proc: ps shows environments, too."""
    shows_environment = ["-E"] if sys.platform == "darwin" else ["e"]
    try:
        listing = process.run(["ps", "-A", *shows_environment, "-ww", "-o", "pid=,command="])
    except CommandError:
        return {}
    lines = [line.split() for line in listing.decode(errors="replace").splitlines()]
    entry = f"{MARK_VARIABLE}={mark}"
    return {int(words[0]): _service(words) for words in lines if entry in words}
