"""``denzel demo``: one command to a served model, one command to end it."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from command_line import Denzel
from denzel.backends.local.layout import Layout
from denzel.backends.local.process_table import find_processes
from denzel.project import Project
from engine import docker, end_deployment, require_engine

DEMO_SECONDS = 600
DEFAULT_PORTS = (8000, 5555)


@pytest.fixture
def taken_ports() -> Iterator[None]:
    """The default ports, in use by something else."""
    listeners = []
    for port in DEFAULT_PORTS:
        listener = socket.socket()
        listeners.append(listener)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(("127.0.0.1", port))
            listener.listen()
        except OSError:
            continue  # in use by something else already
    yield
    for listener in listeners:
        listener.close()


@pytest.fixture(params=["local", "docker"])
def backend(request: pytest.FixtureRequest) -> str:
    """Each backend in turn."""
    if request.param == "docker":
        require_engine()
    return str(request.param)


@pytest.fixture
def demo(denzel: Denzel, backend: str) -> Iterator[Denzel]:
    """The command, in a directory whose demo is ended when the test is over."""
    yield denzel
    denzel("demo", "--shutdown", timeout=DEMO_SECONDS)
    if backend == "docker":
        end_deployment("denzel_demo")


def runs(backend: str, root: Path) -> bool:
    """Tell whether anything of the demo runs."""
    if backend == "docker":
        label = "label=com.docker.compose.project=denzel_demo"
        return bool(docker("ps", "--quiet", "--filter", label).strip())
    return bool(find_processes(Layout.of(Project(root)).mark))


@pytest.mark.usefixtures("taken_ports")
def test_demo_serves_two_flowers_until_it_is_ended(
    demo: Denzel, backend: str, tmp_path: Path
) -> None:
    done = demo("demo", f"--{backend}", timeout=DEMO_SECONDS)
    assert done.returncode == 0, done.stderr
    root = tmp_path / "denzel_demo"
    settings = Project(root).settings
    api = f"http://127.0.0.1:{settings.api_port}"
    assert {settings.api_port, settings.monitor_port}.isdisjoint(DEFAULT_PORTS)
    shown = [line.strip() for line in done.stdout.splitlines()]
    assert "a123: Iris-setosa" in shown
    assert "b456: Iris-virginica" in shown
    assert f"POST {api}/predict" in shown
    assert {"local": "local processes", "docker": "Docker"}[backend] in done.stdout
    for told in (f"{api}/info", f"http://127.0.0.1:{settings.monitor_port}", "demo --shutdown"):
        assert told in done.stdout

    request = json.loads((root / "request.json").read_text())
    answer = requests.post(f"{api}/predict", json=request, timeout=10).json()
    assert answer == {"a123": "Iris-setosa", "b456": "Iris-virginica"}
    status = demo("status", "--json", cwd=root)
    assert json.loads(status.stdout)["ready"]

    again = demo("demo", timeout=DEMO_SECONDS)
    assert again.returncode == 0
    assert "The demo is launched already" in again.stdout

    assert runs(backend, root)
    assert demo("demo", "--shutdown", timeout=DEMO_SECONDS).returncode == 0
    assert not runs(backend, root)
    assert demo("status", cwd=root).stdout.startswith("Haven't been created yet")
