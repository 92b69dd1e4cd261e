"""The tutorial, done as it says: every command typed, every file saved, every output compared."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from denzel.ports import free_port
from documents import blocks
from engine import end_deployment, require_engine
from port_range import FIRST_PORT
from reader import Reader

TUTORIAL = Path(__file__).parent.parent.parent / "docs" / "tutorial.rst"
TABS = {"docker": "Docker", "local": "Local processes"}


@pytest.fixture(params=["local", pytest.param("docker", marks=pytest.mark.docker)])
def backend(request: pytest.FixtureRequest) -> str:
    if request.param == "docker":
        require_engine()
    return str(request.param)


@pytest.fixture
def reader(backend: str, tmp_path: Path) -> Iterator[Reader]:
    """Someone who begins in an empty directory, in an environment of their own."""
    training = tmp_path / "environment"
    subprocess.run([sys.executable, "-m", "venv", str(training)], check=True)
    start = tmp_path / "start"
    start.mkdir()
    api = free_port(FIRST_PORT)
    monitor = free_port(api + 1)
    receiver = free_port(monitor + 1)
    ports = {"8000": str(api), "5555": str(monitor), "9000": str(receiver)}
    if backend == "docker":
        ports = {"//localhost:9000": f"//host.docker.internal:{receiver}", **ports}
    options = {"denzel launch": f"--api-port {api} --monitor-port {monitor}"}
    reader = Reader(start, backend, training / "bin", ports, options)
    yield reader
    reader.leave()
    root = start / "iris_classifier"
    if root.exists():
        subprocess.run([sys.executable, "-m", "denzel", "shutdown", "--purge"], cwd=root)
    if backend == "docker":
        end_deployment("iris_classifier")


def test_the_tutorial_works_as_it_says(reader: Reader, backend: str) -> None:
    other = {tab for name, tab in TABS.items() if name != backend}
    for block in blocks(TUTORIAL):
        if block.tab not in other:
            reader.follow(block)
    assert not (reader.directory / "iris_classifier").exists()
