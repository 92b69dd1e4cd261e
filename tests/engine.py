"""The Docker engine tests need: asked for once, and its absence told the same way everywhere."""

from __future__ import annotations

import os
import subprocess
from functools import cache

import pytest

from denzel.backends.docker.engine import connect
from denzel.backends.docker.program import find_compose
from denzel.errors import DenzelError

KILLED = 137
"""The exit code of a program that a signal 9 ended."""
BASE_IMAGES = ("python:3.13-slim", "redis:8")


@cache
def _lacking() -> str:
    try:
        find_compose()
        connect(timeout=10).close()
    except DenzelError as error:
        return str(error)
    return ""


def require_engine() -> None:
    """Skip the test when no Docker engine can be used; with CI set, fail it."""
    reason = _lacking()
    if reason and os.environ.get("CI"):
        pytest.fail(f"CI has no Docker engine: {reason}")
    if reason:
        pytest.skip(reason)


def docker(*arguments: str) -> str:
    """Run a docker command and return what it printed; a failure shows why."""
    done = subprocess.run(["docker", *arguments], capture_output=True, text=True)
    assert done.returncode == 0, f"docker {' '.join(arguments)}: {done.stderr}"
    return done.stdout


def crash(container: str) -> None:
    """Kill what a container runs, as if it had died by itself."""
    kill = "kill -9 $(cat /proc/1/task/1/children)"
    command = ["docker", "exec", "--user", "root", container, "sh", "-c", kill]
    # The container may have gone, and this shell with it, before the engine tells how it ended.
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode in (0, KILLED), done.stderr


def left_behind(project_name: str) -> list[str]:
    """Return the containers, networks, volumes and images that carry a project's label."""
    label = f"label=com.docker.compose.project={project_name}"
    return [
        *docker("ps", "--all", "--quiet", "--filter", label).split(),
        *docker("network", "ls", "--quiet", "--filter", label).split(),
        *docker("volume", "ls", "--quiet", "--filter", label).split(),
        *docker("images", "--quiet", "--filter", label).split(),
    ]


def end_deployment(project_name: str) -> None:
    """Remove everything that carries a project's label; base images stay."""
    label = f"label=com.docker.compose.project={project_name}"
    for listing, removal in (
        (("ps", "--all"), ("rm", "--force", "--volumes")),
        (("network", "ls"), ("network", "rm")),
        (("volume", "ls"), ("volume", "rm", "--force")),
        (("images",), ("rmi", "--force")),
    ):
        found = docker(*listing, "--quiet", "--filter", label).split()
        if found:
            docker(*removal, *found)
