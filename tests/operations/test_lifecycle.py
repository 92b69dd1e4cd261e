"""Start, stop, update and shut down what was launched."""

from __future__ import annotations

import socket
from collections.abc import Callable

import pytest

from denzel import operations
from denzel.errors import PortTaken, ProjectError, ServiceError, UsageError
from denzel.operations import silent
from denzel.project import Project
from denzel.services import NOT_LAUNCHED

from .memory_backend import Deployments, launch


def reload(project: Project, *, stop_first: bool = False) -> operations.Replacement:
    return operations.reload(project, stop_first=stop_first, timeout=5.0, report=silent)


@pytest.mark.parametrize(
    "verb",
    [
        lambda project: operations.start(project, report=silent),
        lambda project: operations.stop(project, report=silent),
        lambda project: operations.restart(project, report=silent),
        lambda project: operations.update(project, pip=True, os=True, report=silent),
        lambda project: operations.logs(project, None, follow=False, tail=None),
        lambda project: operations.shell(project, "denzel"),
        lambda project: operations.set_response(project, synchronous=False, timeout=5.0),
        lambda project: operations.undelivered_callbacks(project),
        lambda project: operations.wait_until_ready(project, timeout=1, seen=lambda _: None),
    ],
)
def test_a_project_that_is_not_launched_is_told_so(
    project: Project, machine: Deployments, verb: Callable[[Project], object]
) -> None:
    with pytest.raises(ServiceError, match=NOT_LAUNCHED.replace("?", r"\?")):
        verb(project)
    assert operations.status(project) is None


@pytest.mark.parametrize(
    "verb",
    [
        lambda project: launch(project, (8000, 5555)),
        lambda project: operations.start(project, report=silent),
        lambda project: operations.stop(project, report=silent),
        lambda project: operations.restart(project, report=silent),
        lambda project: operations.shutdown(project, purge=False, report=silent),
        lambda project: operations.update(project, pip=True, os=True, report=silent),
    ],
)
def test_two_commands_at_once_do_not_mix(
    project: Project,
    machine: Deployments,
    ports: tuple[int, int],
    monkeypatch: pytest.MonkeyPatch,
    verb: Callable[[Project], object],
) -> None:
    monkeypatch.setattr("denzel.project.LOCK_SECONDS", 0.2)
    launch(project, ports)
    done = list(machine.done)
    another = Project(project.root)
    with another.changing(), pytest.raises(ProjectError, match="Another denzel command"):
        verb(project)
    assert machine.done == done
    operations.stop(project, report=silent)


def test_start_checks_the_ports_and_names_the_way_out(
    project: Project, machine: Deployments, ports: tuple[int, int]
) -> None:
    launch(project, ports)
    machine.running.clear()
    refusal = pytest.raises(PortTaken, match="`denzel shutdown` and launch again with `--api-port")
    with socket.create_server(("127.0.0.1", ports[0])), refusal:
        operations.start(project, report=silent)
    operations.start(project, report=silent)
    assert machine.done[-1] == "docker start"


def test_shutdown_forgets_the_deployment(
    project: Project, machine: Deployments, ports: tuple[int, int]
) -> None:
    launch(project, ports, "local")
    operations.shutdown(project, purge=False, report=silent)
    assert machine.done[-1] == "local down"
    assert project.backend is None


def test_shutdown_without_a_record_looks_everywhere(project: Project, machine: Deployments) -> None:
    project.private.mkdir()
    operations.shutdown(project, purge=True, report=silent)
    assert machine.done == ["docker purge", "local purge"]


def test_an_update_installs_then_restarts_once(
    project: Project, machine: Deployments, ports: tuple[int, int]
) -> None:
    launch(project, ports)
    machine.done.clear()
    operations.update(project, pip=True, os=True, report=silent)
    assert machine.done == ["docker install pip=True os=True", "docker restart"]


@pytest.mark.parametrize("command", ["restart", "reload", "update"])
def test_settings_are_looked_at_before_services_take_them_up(
    project: Project, machine: Deployments, ports: tuple[int, int], command: str
) -> None:
    def run() -> None:
        if command == "reload":
            reload(project)
        elif command == "update":
            operations.update(project, pip=True, os=False, report=silent)
        else:
            operations.restart(project, report=silent)

    launch(project, ports)
    machine.done.clear()
    project.set_environment(MONITOR_HOST="0.0.0.0")
    with pytest.raises(UsageError, match="shows the monitoring page to other machines"):
        run()
    assert machine.done == []
    project.set_environment(MONITOR_USER="me")
    run()
    assert project.settings.monitor_password


def test_an_update_of_stopped_services_is_refused(
    project: Project, machine: Deployments, ports: tuple[int, int]
) -> None:
    launch(project, ports)
    machine.running.clear()
    with pytest.raises(ServiceError, match="`denzel start` first"):
        operations.update(project, pip=True, os=False, report=silent)
