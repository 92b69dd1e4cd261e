"""A project on processes of this machine, driven by ``denzel`` as its user types it."""

from __future__ import annotations

import contextlib
import hashlib
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import requests

from denzel.backends.local.layout import Layout
from denzel.backends.local.process_table import find_processes
from denzel.polling import polls
from denzel.ports import free_port
from denzel.project import Project
from port_range import FIRST_PORT

COMMAND_SECONDS = 240
READY_SECONDS = 180
SOON = 30


class Deployment:
    """A project, and what its user types and asks."""

    def __init__(self, parent: Path, name: str) -> None:
        self.parent = parent
        self.root = parent / name
        self.api_port = free_port(FIRST_PORT)
        self.monitor_port = free_port(self.api_port + 1)
        self.api = f"http://127.0.0.1:{self.api_port}"
        self.task_id = ""  # of a prediction that a story comes back to

    def command(self, *arguments: str) -> list[str]:
        """Return the command line of the ``denzel`` installed beside this Python."""
        return [str(Path(sys.executable).with_name("denzel")), *arguments]

    def run(
        self, *arguments: str, stdin: str = "", cwd: Path | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Type a command; return how it ended."""
        return subprocess.run(
            self.command(*arguments),
            cwd=cwd or self.root,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=COMMAND_SECONDS,
        )

    def denzel(self, *arguments: str, stdin: str = "") -> str:
        """Type a command that must succeed; return what it printed on stdout."""
        done = self.run(*arguments, stdin=stdin)
        assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
        return done.stdout

    def refused(self, *arguments: str) -> str:
        """Type a command that must fail; return its message."""
        done = self.run(*arguments)
        assert done.returncode in (1, 2), f"{done.stdout}\n{done.stderr}"
        assert "Traceback" not in done.stderr
        return done.stderr

    def await_ready(self) -> str:
        """Wait until every line of the status says UP; return the status."""
        return self.denzel("status", "--wait", "--timeout", str(READY_SECONDS))

    def await_status(self, accepted: Callable[[str], bool]) -> str:
        """Return the first status that is ``accepted``."""
        text = ""
        for _ in polls(0.2, timeout=READY_SECONDS):
            text = self.denzel("status")
            if accepted(text):
                return text
        pytest.fail(f"The status stayed\n{text}")

    def edit(self, name: str, text: str) -> None:
        """Write one of the user's files."""
        (self.root / name).write_text(text, encoding="utf-8")

    def predict(self, request: dict[str, Any]) -> requests.Response:
        """Send a request for a prediction."""
        return requests.post(f"{self.api}/predict", json=request, timeout=SOON)

    def outcome(self, task_id: str) -> tuple[str, Any]:
        """Return the state and the result that ``/status`` tells once the task is done."""
        for _ in polls(0.1, timeout=SOON):
            answer = requests.get(f"{self.api}/status/{task_id}", timeout=SOON).json()
            if answer["status"] not in ("PENDING", "STARTED"):
                return answer["status"], answer["result"]
        pytest.fail(f"Task {task_id} stayed {answer}")

    def processes(self) -> list[int]:
        """Return the process ids of the services and their children."""
        return find_processes(Layout.of(Project(self.root)).mark)

    def main_process(self, words: str) -> int:
        """Return the service process whose command line holds ``words`` and that has the others."""
        hosts = "app.runtime.bootstrap.host"
        named = []
        for pid in self.processes():
            with contextlib.suppress(OSError):  # it may have ended since
                text = Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")
                if words in text and hosts not in text:
                    named.append(pid)
        # Not the lowest number: those begin again at 1 now and then.
        main = [pid for pid in named if parent(pid) not in named]
        assert len(main) == 1, f"Processes {named} have {words} in their command lines"
        return main[0]

    def user_files(self) -> dict[str, str]:
        """Return a digest of each file that is neither denzel's own nor a log."""
        return {
            str(file.relative_to(self.root)): hashlib.sha256(file.read_bytes()).hexdigest()
            for file in self.root.rglob("*")
            if file.is_file() and not {".denzel", "logs", "__pycache__"} & set(file.parts)
            and file.name not in (".env", ".env.secrets", ".denzel.json")
        }  # fmt: skip


def parent(pid: int) -> int:
    """Return a process's parent: the fourth field of /proc/PID/stat (proc(5))."""
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
