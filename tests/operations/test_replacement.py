"""Reload and roll back: put a version in the place of the one that serves."""

from __future__ import annotations

import pytest

from denzel import operations
from denzel.errors import Interrupted, ProjectError, RequirementsError, ServiceError
from denzel.operations import silent
from denzel.project import Project
from denzel.services import ServiceStatus, State, Status

from .memory_backend import Deployments, edit

FAILED = Status((ServiceStatus("api", State.ERROR, detail="no such package"),))


def reload(project: Project, *, stop_first: bool = False) -> operations.Replacement:
    return operations.reload(project, stop_first=stop_first, timeout=5.0, report=silent)


def numbers(project: Project) -> tuple[list[int], int]:
    """Return the numbers of all versions, and that of the one which serves."""
    versions, served, _ = operations.versions(project)
    return [version.number for version in versions], served


def test_a_reload_tries_before_it_switches(serving: Project, machine: Deployments) -> None:
    assert reload(serving).version == 2
    assert machine.done == [
        "docker prepare 2", "docker check --timeout 5.0 --sample-bytes 0",
        "docker switch denzel 2", "docker switch api 2",
        "docker switch callbacks 2 stop first", "docker switch monitor 2 stop first",
    ]  # fmt: skip
    assert numbers(serving) == ([1, 2], 2)
    assert not reload(serving).is_new


def test_a_model_that_needs_the_memory_is_loaded_when_the_old_one_is_gone(
    serving: Project, machine: Deployments
) -> None:
    reload(serving, stop_first=True)
    assert "docker switch denzel 2 stop first" in machine.done
    assert not [done for done in machine.done if "check" in done]


def test_a_reload_that_fails_changes_nothing(serving: Project, machine: Deployments) -> None:
    machine.failure = RequirementsError("no such package")
    with pytest.raises(
        RequirementsError, match=r"no such package\. Nothing was changed: version 1"
    ):
        reload(serving)
    machine.failure = None
    machine.check_succeeds = False
    check = reload(serving).check
    assert check is not None
    assert not check["ok"]
    assert not [done for done in machine.done if "switch" in done]
    assert numbers(serving) == ([1], 1)


def test_services_that_were_switched_go_back_when_another_fails(
    serving: Project, machine: Deployments
) -> None:
    machine.unswitchable = "api"
    with pytest.raises(ServiceError, match="Nothing was changed: version 1 goes on"):
        reload(serving)
    switched = [done for done in machine.done if "switch" in done]
    assert switched == ["docker switch denzel 2", "docker switch api 2", "docker switch denzel 1"]
    assert numbers(serving) == ([1], 1)


def test_a_reload_that_was_killed_is_taken_up(serving: Project, machine: Deployments) -> None:
    (serving.root / ".denzel/versions/switching").touch()
    edit(serving, (serving.root / ".denzel/versions/1/app/logic/pipeline.py").read_text())
    assert reload(serving).is_new
    assert "docker switch denzel 1" in machine.done
    assert not reload(serving).is_new


def test_services_that_did_not_go_back_are_told_and_taken_up(
    serving: Project, machine: Deployments
) -> None:
    machine.unswitchable = "api"
    machine.stuck = "denzel 1"
    with pytest.raises(ServiceError, match=r"may run another version than 1: `denzel restart`"):
        reload(serving)
    assert numbers(serving) == ([1, 2], 1)  # which one of them runs
    machine.unswitchable = machine.stuck = ""
    operations.restart(serving, report=silent)
    assert numbers(serving)[1] == 1
    assert reload(serving).version == 2
    assert not reload(serving).is_new


def test_a_start_of_what_runs_leaves_edits_to_a_reload(
    serving: Project, machine: Deployments
) -> None:
    operations.start(serving, report=silent)
    assert numbers(serving) == ([1], 1)
    assert reload(serving).is_new
    serving.set_environment(RESULT_TTL="77")
    operations.start(serving, report=silent)
    assert numbers(serving)[1] == 3
    assert reload(serving).is_new  # not all of them have that setting
    assert "docker switch api 3" in machine.done
    assert not reload(serving).is_new


def test_services_that_do_not_work_are_not_reloaded(serving: Project, machine: Deployments) -> None:
    machine.statuses = [FAILED]
    with pytest.raises(ServiceError, match="denzel restart"):
        reload(serving)
    machine.running.clear()
    with pytest.raises(ServiceError, match="denzel start"):
        reload(serving)


def test_a_rollback_goes_to_the_last_version_that_worked(
    serving: Project, machine: Deployments
) -> None:
    with pytest.raises(ProjectError, match="no earlier version"):
        operations.rollback(serving, None, stop_first=False, timeout=5.0, report=silent)
    operations.restart(serving, report=silent)
    edit(serving, "VERSION = 3\n")
    operations.restart(serving, report=silent)
    machine.done.clear()
    result = operations.rollback(serving, None, stop_first=False, timeout=5.0, report=silent)
    assert numbers(serving) == ([1, 2, 3, 4], result.version)
    assert operations.versions(serving)[0][-1].same_as == 1  # version 2 was never seen ready
    assert "docker switch api 4" in machine.done
    machine.statuses = [FAILED]
    operations.rollback(serving, 2, stop_first=False, timeout=5.0, report=silent)
    assert machine.done[-1] == "docker restart"


def test_a_rollback_holds_when_packages_are_updated(serving: Project, machine: Deployments) -> None:
    operations.restart(serving, report=silent)
    operations.rollback(serving, 1, stop_first=False, timeout=5.0, report=silent)
    operations.update(serving, pip=True, os=False, report=silent)
    updated = numbers(serving)[1]
    assert updated == 4
    operations.restart(serving, report=silent)
    assert numbers(serving)[1] == updated
    edit(serving, "VERSION = 3\n")
    operations.restart(serving, report=silent)
    assert numbers(serving)[1] > updated


def test_a_restart_with_requirements_that_cannot_be_had_is_refused(
    serving: Project, machine: Deployments
) -> None:
    machine.failure = RequirementsError("no such package")
    with pytest.raises(RequirementsError, match="the services go on as they are"):
        operations.restart(serving, report=silent)
    assert "docker restart" not in machine.done
    assert numbers(serving) == ([1], 1)


def test_other_numbers_of_replicas_are_nothing_to_reload(
    serving: Project, machine: Deployments
) -> None:
    reload(serving)
    operations.scale(serving, {"denzel": 2, "api": 2}, report=silent)
    assert not reload(serving).is_new


def test_a_reload_that_is_interrupted_says_what_serves(
    serving: Project, machine: Deployments
) -> None:
    machine.interrupted = {"api 2"}
    with pytest.raises(Interrupted, match="Nothing was changed: version 1 goes on"):
        reload(serving)
    assert machine.done[-2:] == ["docker switch denzel 1", "docker switch api 1"]
    machine.interrupted = {"api 2", "denzel 1"}
    with pytest.raises(Interrupted, match="may run another version than 1: `denzel restart`"):
        reload(serving)


def test_a_reload_moves_every_replica_or_none(serving: Project, machine: Deployments) -> None:
    machine.replicas = 2
    edit(serving, "VERSION = 2\n")
    machine.unswitchable = "api-2"
    machine.done.clear()
    with pytest.raises(ServiceError, match="api-2: the new one does not start"):
        operations.reload(serving, stop_first=False, timeout=5.0, report=silent)
    switched = [done for done in machine.done if "switch" in done]
    assert switched == [
        "docker switch denzel 2", "docker switch denzel-2 2", "docker switch api 2",
        "docker switch api-2 2", "docker switch denzel 1", "docker switch denzel-2 1",
        "docker switch api 1",
    ]  # fmt: skip
