"""Run a program whose output goes to the service's log and to a file in ``logs``."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TextIO

from app.runtime.bootstrap.privileges import give_to_owner

TAIL_LINES = 300
STOP_SECONDS = 10.0


def run_logged(
    command: Sequence[str], log_file: Path, *, cwd: Path | None = None, inherited: int | None = None
) -> tuple[int, list[str]]:
    """Run ``command`` to its end; return its exit code and the last lines of its output.

    ``inherited`` is a descriptor the program keeps open.  When this process is told to end, the
    program and its children end with it.
    """
    tail: list[str] = []
    log = open_log(log_file)
    # bash believes $PWD where it names the same directory, by whatever mount.
    environment = {**os.environ, "PWD": str(cwd)} if cwd else None
    child = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        text=True, errors="replace", cwd=cwd, env=environment, start_new_session=True,
        pass_fds=() if inherited is None else (inherited,),
    )  # fmt: skip
    try:
        assert child.stdout is not None
        for line in child.stdout:
            print(line, end="", flush=True)
            if log:
                log.write(line)
                log.flush()
            tail = [*tail[-TAIL_LINES:], line.rstrip()]
        code = child.wait()
    finally:
        _end(child)
        if log:
            log.close()
    return code, tail or ["no output"]


def open_log(path: Path) -> TextIO | None:
    """Return a new, empty log file; None, after saying why, where none can be made.

    Root opens it in a directory that the user who serves may write to: what stands there under
    its name, be it a link or a pipe, is removed and never opened.
    """
    try:
        path.parent.mkdir(exist_ok=True)
        path.unlink(missing_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
        give_to_owner(descriptor)
        return os.fdopen(descriptor, "w", encoding="utf-8")
    except OSError as error:
        print(f"{path} is not written: {error}", file=sys.stderr, flush=True)
        return None


def _end(child: subprocess.Popen[str]) -> None:
    """End the program and its children, if it still runs."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        if child.poll() is None:
            with suppress(ProcessLookupError):
                os.killpg(child.pid, number)
            with suppress(subprocess.TimeoutExpired):
                child.wait(STOP_SECONDS)
    if child.stdout:
        child.stdout.close()
