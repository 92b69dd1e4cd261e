"""Launch an image, and put another in its place."""

from __future__ import annotations

import socket

import pytest

from denzel import operations
from denzel.backends.base import Backend
from denzel.errors import EngineError, Interrupted, PortTaken, ProjectError, UsageError
from denzel.operations import silent
from denzel.ports import free_port
from denzel.project import Project

from .memory_backend import IMAGE, NEWER, Deployments, MemoryBackend, launch, launch_image


def test_an_image_is_fetched_launched_and_remembered(
    project: Project, ports: tuple[int, int], machine: Deployments
) -> None:
    machine.default = "local"
    assert launch_image(project, IMAGE, ports).backend == "docker"
    assert machine.done == ["docker preflight", f"docker fetch {IMAGE}", "docker up"]
    assert project.launch.image == IMAGE
    for command in (operations.start, operations.restart):
        command(project, report=silent)
    assert machine.done[-1] == "docker restart"
    assert not (project.private / "versions").exists()
    operations.shutdown(project, purge=False, report=silent)
    assert project.launch.image is None


def test_another_image_takes_its_place_on_the_same_ports(
    project: Project, ports: tuple[int, int], machine: Deployments
) -> None:
    launch_image(project, IMAGE, ports)
    machine.done.clear()
    launch_image(project, NEWER)
    assert machine.done == [f"docker fetch {NEWER}", f"docker try {NEWER}", "docker start"]
    assert (project.launch.image, project.launch.api_port) == (NEWER, ports[0])


def test_an_image_in_which_the_pipeline_fails_takes_no_place(
    project: Project, ports: tuple[int, int], machine: Deployments
) -> None:
    launch_image(project, IMAGE, ports)
    machine.done.clear()
    machine.check_succeeds = False
    assert launch_image(project, NEWER).check == {"ok": False, "steps": []}
    assert machine.done == [f"docker fetch {NEWER}", f"docker try {NEWER}"]
    assert project.launch.image == IMAGE
    operations.launch(
        project, backend=None, api_port=None, monitor_port=None, image=NEWER, try_image=False,
        report=silent,
    )  # fmt: skip
    assert machine.done[-1] == "docker start"
    assert project.launch.image == NEWER


def test_another_image_may_have_other_ports_and_metrics(
    project: Project, ports: tuple[int, int], machine: Deployments
) -> None:
    launch_image(project, IMAGE, ports)
    other = free_port(ports[0] + 1, avoid=ports)
    operations.launch(
        project, backend=None, api_port=other, monitor_port=None, image=NEWER,
        with_metrics=True, report=silent,
    )  # fmt: skip
    launched = project.launch
    assert (launched.api_port, launched.monitor_port) == (other, ports[1])
    assert project.settings.with_metrics
    assert project.settings.metrics_key


def test_an_image_that_cannot_take_its_place_is_not_remembered(
    project: Project,
    ports: tuple[int, int],
    machine: Deployments,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    launch_image(project, IMAGE, ports)
    before = project.launch

    def fail(self: Backend) -> None:
        raise EngineError("no space left")

    monkeypatch.setattr(MemoryBackend, "start", fail)
    with pytest.raises(EngineError):
        launch_image(project, NEWER)
    assert project.launch == before


def test_the_former_image_serves_again_when_another_is_interrupted(
    project: Project,
    ports: tuple[int, int],
    machine: Deployments,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    launch_image(project, IMAGE, ports)
    started: list[str | None] = []

    def interrupt(self: Backend) -> None:
        started.append(self.project.launch.image)
        raise KeyboardInterrupt

    monkeypatch.setattr(MemoryBackend, "start", interrupt)
    with pytest.raises(Interrupted, match=f"{IMAGE} goes on"):
        launch_image(project, NEWER)
    assert started == [NEWER, IMAGE]


def test_a_port_that_is_taken_is_told_before_another_image_takes_its_place(
    project: Project, ports: tuple[int, int], machine: Deployments
) -> None:
    launch_image(project, IMAGE, ports)
    machine.done.clear()
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(PortTaken):
            launch_image(project, NEWER, (taken.getsockname()[1], ports[1]))
    assert machine.done == []


def test_a_name_that_no_image_can_have_is_refused_first(
    project: Project, machine: Deployments
) -> None:
    with pytest.raises(UsageError, match="Shop:1 cannot be an image's name"):
        launch_image(project, "Shop:1")
    assert machine.done == []


def test_an_image_does_not_take_the_place_of_files(
    project: Project, ports: tuple[int, int], machine: Deployments
) -> None:
    launch(project, ports)
    with pytest.raises(
        ProjectError, match="already launched, from its own files: run `denzel shut"
    ):
        launch_image(project, IMAGE)


def test_what_runs_from_an_image_is_not_changed(
    project: Project, ports: tuple[int, int], machine: Deployments
) -> None:
    launch_image(project, IMAGE, ports)
    machine.done.clear()
    for change in (
        lambda: operations.reload(project, stop_first=False, timeout=1, report=silent),
        lambda: operations.rollback(project, None, stop_first=False, timeout=1, report=silent),
        lambda: operations.update(project, pip=True, os=False, report=silent),
        lambda: operations.versions(project),
        lambda: list(operations.worker_log(project, follow=False)),
    ):
        with pytest.raises(ProjectError, match="image"):
            change()
    assert machine.done == []
