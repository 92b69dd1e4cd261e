"""A project on a real Docker engine, driven by ``denzel`` as its user types it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import requests

from denzel.polling import polls
from denzel.ports import free_port
from denzel.project import Project
from engine import docker, end_deployment
from port_range import FIRST_PORT

COMMAND_SECONDS = 600
READY_SECONDS = 600
SOON = 60


class Deployment:
    """A project, and what its user types and asks."""

    def __init__(self, parent: Path, name: str, *options: str) -> None:
        self.parent = parent
        self.name = name
        self.root = parent / name
        self.run("startproject", name, *options, cwd=parent)
        self.api_port = free_port(FIRST_PORT)
        self.monitor_port = free_port(self.api_port + 1)
        # Purging takes the image away from the name given here alone.
        self.redis_image = f"{name}-redis:8"
        docker("tag", "redis:8", self.redis_image)
        self.project.set_environment(REDIS_IMAGE=self.redis_image)

    @property
    def project(self) -> Project:
        """The project as its files are now."""
        return Project(self.root)

    @property
    def api(self) -> str:
        """The API's address."""
        return f"http://127.0.0.1:{self.api_port}"

    def attempt(
        self,
        *arguments: str,
        stdin: str = "",
        cwd: Path | None = None,
        env: dict[str, str] | None = None,
    ) -> subprocess.CompletedProcess[str]:
        """Type a command; return how it ended, stderr within stdout."""
        return subprocess.run(
            [sys.executable, "-m", "denzel", *arguments],
            cwd=cwd or self.root,
            env={**os.environ, **(env or {})},
            input=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=COMMAND_SECONDS,
        )

    def run(self, *arguments: str, stdin: str = "", cwd: Path | None = None) -> str:
        """Type a command that must succeed; return what it printed."""
        done = self.attempt(*arguments, stdin=stdin, cwd=cwd)
        assert done.returncode == 0, done.stdout
        return done.stdout

    def refused(self, *arguments: str, env: dict[str, str] | None = None) -> str:
        """Type a command that must fail without a traceback; return its last line."""
        done = self.attempt(*arguments, env=env)
        assert done.returncode in (1, 2), done.stdout
        assert "Traceback" not in done.stdout
        error = [line for line in done.stdout.splitlines() if line.startswith("Error: ")]
        assert len(error) == 1, done.stdout
        return error[0]

    def failed(self, *arguments: str) -> str:
        """Type a command that must fail; return all it printed."""
        done = self.attempt(*arguments)
        assert done.returncode == 1, done.stdout
        return done.stdout

    def launch(self, *options: str) -> str:
        """Launch on this deployment's ports; return what was printed."""
        ports = ["--api-port", str(self.api_port), "--monitor-port", str(self.monitor_port)]
        return self.run("launch", "--docker", *ports, *options)

    def states(self) -> dict[str, str]:
        """Return the state of each service and worker by name."""
        status = json.loads(self.run("status", "--json"))
        return {line["name"]: line["state"] for line in [*status["services"], *status["workers"]]}

    def wait_until_ready(self) -> list[dict[str, str]]:
        """Return every status seen until all of them said UP."""
        seen = [self.states()]
        for _ in polls(0.1, timeout=READY_SECONDS):
            seen.append(self.states())
            if set(seen[-1].values()) == {"UP"} and f"worker@{self.name}" in seen[-1]:
                return seen
        pytest.fail(f"not ready: {seen[-1]}\n{self.run('logs')}")

    def predict(self, **extra: str) -> requests.Response:
        """Send the tutorial's two flowers."""
        request = json.loads((self.root / "request.json").read_text())
        return requests.post(f"{self.api}/predict", json={**request, **extra}, timeout=SOON)

    def inside(self, service: str, *command: str) -> str:
        """Run a command as root in a service's container."""
        return docker("exec", "--user", "root", f"{self.name}-{service}-1", *command)

    def health(self, service: str) -> str:
        """Return what the engine thinks of a service's container."""
        state = "--format={{.State.Health.Status}}"
        return docker("inspect", state, f"{self.name}-{service}-1").strip()

    def serving(self, command: str) -> subprocess.CompletedProcess[str]:
        """Run a shell command as the user who serves, in the worker's container."""
        container = f"{self.name}-denzel-1"
        return subprocess.run(
            ["docker", "exec", "--user", "denzel", container, "sh", "-c", command],
            capture_output=True, text=True,
        )  # fmt: skip

    def end(self) -> None:
        """Leave nothing of this deployment."""
        end_deployment(self.name)
        subprocess.run(["docker", "rmi", "--force", self.redis_image], capture_output=True)


def clone(source: Path, target: Path) -> Path:
    """Commit all that git would take of a project, and clone it."""
    git = ["git", "-c", "user.name=e2e", "-c", "user.email=e2e@example.com", "-c"]
    git.append("safe.directory=*")
    for command in (["init", "-q"], ["add", "--all"], ["commit", "-q", "-m", "all"]):
        subprocess.run([*git, *command], cwd=source, check=True, capture_output=True)
    subprocess.run([*git, "clone", "-q", str(source), str(target)], check=True)
    return target


def wait_for(predicate: Callable[[], bool], seconds: float = SOON) -> bool:
    """Tell whether ``predicate`` holds within ``seconds``."""
    return any(predicate() for _ in polls(0.2, timeout=seconds))
