"""A program that a service's host has started."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

_PR_SET_PDEATHSIG = 1
_FIRST_TO_GO = "1000"
"""The highest oom_score_adj (proc(5)): where memory is short, the kernel ends what has it first."""


class Child:
    """One program and its process group; it is killed when its parent is."""

    def __init__(
        self,
        program: Sequence[str],
        directory: Path,
        environment: Mapping[str, str],
        inherited: Sequence[int],
        *,
        is_on_trial: bool,
    ) -> None:
        self.directory = directory
        self.environment = dict(environment)
        self.run_directory = Path(environment["DENZEL_RUN_DIR"])
        self.is_ended = False
        """Whether it was told to end."""
        parent = os.getpid()

        def prepare() -> None:
            if sys.platform == "linux":
                ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
                with suppress(OSError):
                    if is_on_trial:
                        Path("/proc/self/oom_score_adj").write_text(_FIRST_TO_GO, "ascii")
            if os.getppid() != parent:
                os._exit(1)

        self._process = subprocess.Popen(
            program, cwd=directory, env={**os.environ, **environment, "PWD": str(directory)},
            stdin=subprocess.DEVNULL, pass_fds=inherited, process_group=0, preexec_fn=prepare,
        )  # fmt: skip

    @property
    def code(self) -> int | None:
        """Its exit code, negative for a signal; None while it runs."""
        return self._process.poll()

    @property
    def ending(self) -> str:
        """How it ended."""
        code = self.code or 0
        return f"exit code {code}" if code >= 0 else signal.Signals(-code).name

    def signal(self, number: int) -> None:
        """Send the program a signal, if it runs."""
        if self.code is None:
            self._process.send_signal(number)

    def kill(self) -> None:
        """End the program and all that is in its process group."""
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def spare(self) -> None:
        """Let the kernel treat it, and what it has started, as any other program."""
        with suppress(OSError):
            usual = Path("/proc/self/oom_score_adj").read_text(encoding="ascii")
            for entry in Path("/proc").glob("[0-9]*"):
                with suppress(OSError, ValueError):
                    if os.getpgid(int(entry.name)) == self._process.pid:
                        (entry / "oom_score_adj").write_text(usual, encoding="ascii")
