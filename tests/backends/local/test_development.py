"""``denzel dev``: services that end with their terminal, beside those that are launched."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from subprocess import Popen
from threading import Thread

import pytest

from backends.contract import wait_until, wait_until_ready
from backends.stand_in_project import Launched, make_venv, stand_in_project
from command_line import Denzel, running
from denzel.backends.local.development import DevelopmentProject
from denzel.backends.local.layout import DEVELOPMENT, Layout
from denzel.backends.local.process_table import find_processes
from denzel.project import Project

SOON = 40.0
READY = "Ready after "


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """A project of stand-ins whose packages are there."""
    project = stand_in_project(tmp_path)
    make_venv(project)
    return project


def test_development_has_a_redis_of_its_own_also_where_another_is_used(project: Project) -> None:
    """What others rely on is left alone, and certificates that are shown to it do no harm."""
    project.set_environment(
        REDIS_URL="rediss://cache.example/3", REDIS_CA="ca.pem", REDIS_CERTIFICATE="own.pem",
        REDIS_KEY="own.key",
    )  # fmt: skip
    settings = DevelopmentProject(project.root, api_port=8001).settings
    assert (settings.redis_url, settings.redis.tls, settings.redis.certificate) == ("", False, "")


def processes(project: Project) -> list[int]:
    """Return the processes under development."""
    layout = Layout.of(project)
    return find_processes(Layout(layout.root, layout.private / DEVELOPMENT, layout.logs).mark)


class Terminal:
    """What ``denzel dev`` has said so far."""

    def __init__(self, child: Popen[str]) -> None:
        self.child = child
        self.said: list[str] = []
        for stream in (child.stdout, child.stderr):
            Thread(target=self._read, args=(stream,), daemon=True).start()

    def _read(self, stream: Iterator[str]) -> None:
        self.said.extend(line.rstrip("\n") for line in stream)

    def wait_for(self, sentence: str, count: int = 1) -> str:
        """Return the line in which a sentence stands for the ``count``-th time."""
        found: Callable[[], list[str]] = lambda: [line for line in self.said if sentence in line]  # noqa: E731
        wait_until(lambda: len(found()) >= count, SOON, lambda: "\n".join(self.said))
        return found()[count - 1]


@contextmanager
def developing(project: Project, *arguments: str) -> Iterator[Terminal]:
    """Run ``denzel dev`` until the test is done with it."""
    command = [sys.executable, "-m", "denzel", "dev", "--no-open", *arguments]
    with running(command, project.root) as child:
        terminal = Terminal(child)
        try:
            terminal.wait_for(READY)
            yield terminal
        finally:
            child.send_signal(signal.SIGINT)
            child.wait(SOON)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_nothing_is_left_however_it_is_told_to_end(project: Project, number: int) -> None:
    with developing(project) as terminal:
        assert processes(project)
        terminal.wait_for("api       | ")
        terminal.child.send_signal(number)
        assert terminal.child.wait(SOON) == 0
    # Those that were sent SIGKILL may need a moment on a busy machine.
    wait_until(lambda: not processes(project), SOON, lambda: processes(project))
    assert not (project.private / DEVELOPMENT / "deployment.json").exists()


def test_saved_files_restart_the_services_that_run_them(project: Project) -> None:
    pipeline = project.root / "app" / "logic" / "pipeline.py"
    with developing(project) as terminal:
        first = terminal.wait_for("api       | api ")
        pipeline.write_text("def verify_input(json_data):\n    return = json_data\n")
        terminal.wait_for("app/logic/pipeline.py:2: invalid syntax")
        terminal.wait_for("    return = json_data")
        terminal.wait_for("The services go on with what they have")
        pipeline.write_text("def verify_input(json_data):\n    return json_data\n")
        terminal.wait_for("app/logic/pipeline.py changed; restarting")
        terminal.wait_for(READY, 2)
        assert terminal.wait_for("api       | api ", 2) != first
        with project.env_file.open("a") as file:
            file.write("SPOKEN=news\nAPI_WORKERS=few\n")
        terminal.wait_for("API_WORKERS=few cannot be used")
        project.set_environment(API_WORKERS="1")
        terminal.wait_for(READY, 3)
        terminal.wait_for("says: 'news'")


def test_it_runs_beside_what_is_launched_and_once(project: Project, denzel: Denzel) -> None:
    with Launched(project) as backend:
        wait_until_ready(backend, SOON)
        port = project.settings.api_port
        with developing(project) as terminal:
            terminal.wait_for(f"The project is launched, on port {port}; here it is on ")
            own = {port, project.settings.monitor_port}
            assert int(terminal.wait_for(READY).split(":")[-1].split()[0]) not in own
            second = denzel("dev", cwd=project.root)
            assert second.returncode == 1
            assert "`denzel dev` runs in this project already" in second.stderr
            assert denzel("shutdown", "--purge", cwd=project.root).returncode == 1
            terminal.child.send_signal(signal.SIGINT)
            assert terminal.child.wait(SOON) == 0
        assert backend.status().ready


def test_what_a_killed_one_left_is_ended_by_the_next_and_by_shutdown(
    project: Project, denzel: Denzel
) -> None:
    for _ in range(2):
        with developing(project) as terminal:
            terminal.child.kill()
    assert processes(project)
    assert denzel("shutdown", cwd=project.root).returncode == 0
    assert processes(project) == []
