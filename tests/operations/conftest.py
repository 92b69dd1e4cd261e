"""What every test of the operations starts from."""

from __future__ import annotations

import pytest

from denzel import operations
from denzel.ports import free_port
from denzel.project import Project

from .memory_backend import Deployments, edit, launch


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Deployments:
    """A machine on which nothing runs yet."""
    deployments = Deployments()
    monkeypatch.setattr("denzel.backends.choose", deployments.choose)
    monkeypatch.setattr("denzel.operations.observation.POLL_SECONDS", 0.01)
    monkeypatch.setattr("denzel.operations.observation.GRACE_SECONDS", 0.05)
    return deployments


@pytest.fixture
def ports(project: Project, unused_port: int) -> tuple[int, int]:
    """Two ports that are free; the project's ``.env`` names others."""
    return unused_port, free_port(unused_port + 1)


@pytest.fixture
def serving(project: Project, ports: tuple[int, int], machine: Deployments) -> Project:
    """A launched project that was edited since."""
    launch(project, ports)
    operations.status(project)  # which notes that it works
    machine.done.clear()
    edit(project, "VERSION = 2\n")
    return project
