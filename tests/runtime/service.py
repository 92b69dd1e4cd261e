"""A service as a process of its own, and the environment it starts in."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

COVERAGE_VARIABLES = ("COVERAGE_PROCESS_START", "COVERAGE_PROCESS_CONFIG")
"""By these the processes a test starts know that their coverage is measured."""


class Service:
    """One process and all its children, ended together; its output goes to a file."""

    def __init__(
        self, name: str, command: Sequence[str], directory: Path, environment: Mapping[str, str]
    ) -> None:
        self.name = name
        self.log = directory / "logs" / f"{name}.output"
        self.log.parent.mkdir(exist_ok=True)
        with self.log.open("ab") as output:
            self.process = subprocess.Popen(
                command, cwd=directory, env=environment, stdin=subprocess.DEVNULL,
                stdout=output, stderr=subprocess.STDOUT, start_new_session=True,
            )  # fmt: skip

    @property
    def pid(self) -> int:
        """The process's id, which is its group's, too."""
        return self.process.pid

    def output(self) -> str:
        """Return what the service has written so far."""
        text = self.log.read_text(encoding="utf-8", errors="replace")
        return f"--- {self.name}, exit code {self.process.poll()} ---\n{text[-6000:]}"

    def is_running(self) -> bool:
        """Tell whether the process lives."""
        return self.process.poll() is None

    def signal(self, number: int) -> None:
        """Send a signal to the whole group, if any of it is left."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, number)

    def stop(self, timeout: float = 10.0) -> None:
        """Ask the process to end; after ``timeout`` seconds, end it and its children."""
        if self.is_running():
            self.process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(timeout)
        self.kill()

    def kill(self) -> None:
        """End the whole group at once."""
        self.signal(signal.SIGKILL)
        self.process.wait(30)


def bare_environment() -> dict[str, str]:
    """Return an environment that holds nothing of denzel's."""
    kept = ("PATH", "HOME", "TMPDIR", "LANG", "LC_ALL", *COVERAGE_VARIABLES)
    return {
        **{name: os.environ[name] for name in kept if name in os.environ},
        "PYTHONUNBUFFERED": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
    }
