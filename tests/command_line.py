"""Run the command line as its user does: as a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

TIMEOUT_SECONDS = 60


@contextmanager
def running(command: Sequence[str], cwd: Path) -> Iterator[subprocess.Popen[str]]:
    """Run a command beside the test, which reads what it prints; it never outlives the test.

    It is killed after TIMEOUT_SECONDS, so that whoever waits for a line gets an empty one.
    """
    with subprocess.Popen(
        command, cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as child:
        too_late = threading.Timer(TIMEOUT_SECONDS, child.kill)
        too_late.start()
        try:
            yield child
        finally:
            too_late.cancel()
            child.kill()


@dataclass(frozen=True)
class Denzel:
    """``python -m denzel`` in ``directory``, its output captured."""

    directory: Path

    def __call__(
        self,
        *arguments: str,
        cwd: Path | None = None,
        stdin: str = "",
        env: dict[str, str] | None = None,
        timeout: float = TIMEOUT_SECONDS,
    ) -> subprocess.CompletedProcess[str]:
        """Run one command and return how it ended, whatever its exit code."""
        return subprocess.run(
            [sys.executable, "-m", "denzel", *arguments],
            cwd=cwd or self.directory,
            input=stdin,
            env={**os.environ, **(env or {})},
            capture_output=True,
            text=True,
            timeout=timeout,
        )
