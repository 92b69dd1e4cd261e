"""Run the command line as its user does: as a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

TIMEOUT_SECONDS = 60


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
