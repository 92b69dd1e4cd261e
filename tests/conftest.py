"""What the tests of the command line share: a project, the command itself, a free port."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from command_line import Denzel
from denzel.ports import free_port
from denzel.project import Project
from denzel.scaffold import start_project
from port_range import FIRST_PORT


def pytest_configure() -> None:
    """Let Ctrl-C work in what the tests start, also where they run in a shell's background."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """A new project that is not launched."""
    return start_project(tmp_path, "shop_window")


@pytest.fixture
def denzel(tmp_path: Path) -> Denzel:
    """The command line, run in an empty directory unless told otherwise."""
    return Denzel(tmp_path)


@pytest.fixture
def unused_port() -> int:
    """A port that nothing listens on."""
    return free_port(FIRST_PORT)
