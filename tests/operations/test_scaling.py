"""Change how many of a service run."""

from __future__ import annotations

import pytest

from denzel import operations
from denzel.errors import EngineError, UsageError
from denzel.operations import silent
from denzel.project import Project

from .memory_backend import Deployments


def test_scale_changes_what_runs_and_what_env_says(serving: Project, machine: Deployments) -> None:
    reports: list[str] = []
    operations.scale(serving, {"denzel": 2, "api": 2}, report=reports.append)
    assert machine.done[-1] == "docker scale denzel api [2, 2]"
    assert reports == []
    machine.replicas = 2
    assert [(each.service, each.wanted, each.running) for each in operations.replicas(serving)] == [
        ("denzel", 2, 2), ("api", 2, 2),
    ]  # fmt: skip


def test_scale_of_stopped_services_is_for_their_next_start(
    project: Project, machine: Deployments
) -> None:
    reports: list[str] = []
    operations.scale(project, {"denzel": 2}, report=reports.append)
    assert Project(project.root).settings.worker_replicas == 2
    assert not any("scale" in done for done in machine.done)
    assert len(reports) == 1
    assert operations.replicas(project)[0].running == 0


def test_a_scale_that_fails_leaves_env_as_it_was(serving: Project, machine: Deployments) -> None:
    machine.failure = EngineError("no space left on device")
    with pytest.raises(EngineError):
        operations.scale(serving, {"denzel": 2}, report=silent)
    assert Project(serving.root).settings.worker_replicas == 1
    scaled = [done for done in machine.done if "scale" in done]
    assert scaled == ["docker scale denzel [2, 1]", "docker scale denzel [1, 1]"]


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["denzel=0"], "at least 1"),
        (["denzel=-1"], "at least 1"),
        (["denzel=101"], "at most 100"),
        (["denzel=3"], "2 fit at most"),  # each uses 3 of 8 GiB
        (["redis=2"], "There is one redis"),
        (["monitor=2"], "There is one monitor"),
        (["callbacks=2"], "There is one callbacks"),
        (["frontend=2"], "denzel and api can"),
        (["denzel"], "SERVICE=NUMBER"),
        (["denzel=many"], "SERVICE=NUMBER"),
        (["denzel=2", "denzel=3"], "denzel is given twice"),
        (["api=2", "redis=2"], "There is one redis"),
    ],
)
def test_what_cannot_be_scaled_is_refused_with_the_reason(
    serving: Project, machine: Deployments, words: list[str], reason: str
) -> None:
    machine.done.clear()
    with pytest.raises(UsageError, match=reason):
        operations.scale(serving, operations.scaled(words), report=silent)
    assert not any("scale" in done for done in machine.done)
    assert Project(serving.root).settings.api_replicas == 1


def test_scale_writes_what_plain_compose_needs_for_several_apis(project: Project) -> None:
    def lines() -> dict[str, str]:
        names = ("API_REPLICAS", "API_REPLICA_PORT", "API_REPLICA_HOST", "COMPOSE_PROFILES")
        found = Project(project.root).read_settings_file()
        return {name: found[name] for name in names if found.get(name)}

    operations.scale(project, {"denzel": 2}, report=silent)
    assert lines() == {"API_REPLICAS": "1"}
    project.set_environment(COMPOSE_PROFILES="https")
    operations.scale(project, {"api": 2}, report=silent)
    assert lines() == {
        "API_REPLICAS": "2", "API_REPLICA_PORT": "0", "API_REPLICA_HOST": "127.0.0.1",
        "COMPOSE_PROFILES": "https,balancer",
    }  # fmt: skip
    operations.scale(project, {"api": 3}, report=silent)
    operations.scale(project, {"api": 1}, report=silent)
    assert lines() == {"API_REPLICAS": "1", "COMPOSE_PROFILES": "https"}
