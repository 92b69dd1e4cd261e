"""The contract of all backends, kept by local processes."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest

from backends.contract import BackendContract
from backends.stand_in_project import make_venv, stand_in_project
from denzel.backends.base import Backend
from denzel.backends.local.backend import LocalBackend
from denzel.backends.local.layout import Layout
from denzel.backends.local.process_table import find_processes
from denzel.services import SERVICES, service_of


def main_process(backend: Backend, service: str) -> int:
    """Return the process id a service's stand-in printed last."""
    lines = backend.logs([service_of(service)], follow=False, tail=None)
    printed = [line.text.split() for line in lines if line.service == service]
    return int([words[1] for words in printed if words[0] == service_of(service)][-1])


@pytest.fixture(scope="module")
def reported() -> list[str]:
    return []


@pytest.fixture(scope="module")
def backend(
    tmp_path_factory: pytest.TempPathFactory, reported: list[str]
) -> Iterator[LocalBackend]:
    project = stand_in_project(tmp_path_factory.mktemp("contract"))
    make_venv(project)
    backend = LocalBackend(project, reported.append)
    yield backend
    backend.down(purge=True)


class TestLocalBackend(BackendContract):
    """The suite on stand-ins, and what only processes can be asked."""

    def crash(self, backend: Backend, service: str) -> None:
        os.kill(main_process(backend, service), signal.SIGKILL)

    def test_nothing_is_left_running(self, backend: Backend) -> None:
        make_venv(backend.project)  # purge removed it
        backend.project.record_backend(backend.name)
        backend.up()
        mark = Layout.of(backend.project).mark
        assert len(find_processes(mark)) >= 1 + len(SERVICES)  # and what they start
        backend.down(purge=False)
        assert find_processes(mark) == []

    def test_purge_removes_the_private_directory(self, backend: Backend) -> None:
        backend.down(purge=True)
        assert not backend.project.private.exists()
