"""The only place that starts programs, and the place that ends them."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from benchmarks.errors import BenchmarkError
from denzel.polling import polls

TAIL_LINES = 20
GRACE_SECONDS = 5.0
POLL_SECONDS = 0.02


def run(
    argv: Sequence[str],
    *,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    timeout: float | None = None,
) -> str:
    """Run ``argv`` and return what it printed; raises BenchmarkError if it fails."""
    try:
        done = subprocess.run(
            list(argv), cwd=cwd, env=env, text=True, timeout=timeout,
            stdin=subprocess.DEVNULL, capture_output=True,
        )  # fmt: skip
    except subprocess.TimeoutExpired as error:
        raise BenchmarkError(f"`{' '.join(argv)}` did not end within {timeout} s") from error
    if done.returncode:
        shown = tail(done.stdout + done.stderr)
        raise BenchmarkError(f"`{' '.join(argv)}` failed ({done.returncode}):\n{shown}")
    return done.stdout


@contextmanager
def running(
    argv: Sequence[str], *, cwd: Path, env: Mapping[str, str], log: Path
) -> Iterator[subprocess.Popen[bytes]]:
    """Run ``argv`` in a process group of its own while the block runs, then end the group."""
    with log.open("ab") as output:
        child = subprocess.Popen(
            list(argv), cwd=cwd, env=env, start_new_session=True,
            stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT,
        )  # fmt: skip
    try:
        yield child
    finally:
        end_group(child)


def end_group(child: subprocess.Popen[bytes]) -> None:
    """End the process group that ``child`` leads: SIGTERM, and SIGKILL after a while.

    The first signal goes to the leader alone, which ends its own processes in good order.
    """
    for kill, number in (
        (os.kill, signal.SIGTERM), (os.killpg, signal.SIGTERM), (os.killpg, signal.SIGKILL)
    ):  # fmt: skip
        with suppress(ProcessLookupError):
            kill(child.pid, number)
        for _ in polls(POLL_SECONDS, timeout=GRACE_SECONDS):
            child.poll()
            try:
                os.killpg(child.pid, 0)
            except ProcessLookupError:
                return


def find_program(name: str, remedy: str, path: str | None = None) -> str:
    """Return the program's path; raises BenchmarkError, with the remedy, when it is missing."""
    found = shutil.which(name, path=path)
    if found is None:
        raise BenchmarkError(f"{name} is not installed or not on PATH: {remedy}")
    return found


def tail(text: str) -> str:
    """Return the last lines of what a program printed."""
    return "\n".join(text.strip().splitlines()[-TAIL_LINES:])
