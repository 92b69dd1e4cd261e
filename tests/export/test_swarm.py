"""The stack: what is in it, and what changes when settings do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from denzel.errors import UsageError
from denzel.export import Export, swarm_files
from denzel.project import Project
from denzel.scaffold import start_project

IMAGE = "registry.example:5000/shop/window:1.0"


def stack(files: Export, name: str = "stack.yml") -> dict[str, Any]:
    """Return one of an export's files, read."""
    found = yaml.safe_load(files.files[name])
    assert isinstance(found, dict)
    return found


def test_services_may_do_nothing_but_serve(project: Project) -> None:
    files = swarm_files(project, IMAGE)
    services = {**stack(files)["services"], **stack(files, "redis.yml")["services"]}
    assert services.keys() == {"api", "worker", "callbacks", "monitor", "redis"}
    for name, service in services.items():
        assert service["user"] == ("redis" if name == "redis" else "10001:10001")
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]
        assert service["image"] == ("redis:8" if name == "redis" else IMAGE)
        assert service["healthcheck"]["test"]


def test_a_new_task_serves_before_an_old_one_ends(project: Project) -> None:
    project.set_environment(PREDICTION_TIMEOUT="120")
    services = stack(swarm_files(project, IMAGE))["services"]
    for name in ("api", "worker"):
        update = services[name]["deploy"]["update_config"]
        assert (update["order"], update["failure_action"]) == ("start-first", "rollback")
    assert services["worker"]["stop_grace_period"] == "180s"


def test_a_secret_has_a_name_of_its_content(project: Project) -> None:
    before = stack(swarm_files(project, IMAGE))["secrets"]
    project.set_environment(CALLBACK_SECRET="whsec_" + "A" * 32)
    files = swarm_files(project, IMAGE)
    after = stack(files)["secrets"]
    assert before["REDIS_PASSWORD"] == after["REDIS_PASSWORD"]
    assert before["CALLBACK_SECRET"]["name"] != after["CALLBACK_SECRET"]["name"]
    for name, secret in after.items():
        assert secret["file"] in files.private
        assert files.files[secret["file"]] == project.environment[name]
        assert len(secret["name"]) <= 64
    assert stack(files)["services"]["api"]["secrets"] == list(after)


def test_long_names_are_cut_to_what_an_engine_takes(tmp_path: Path) -> None:
    files = swarm_files(start_project(tmp_path, "s" * 60), IMAGE)
    names = {each["name"] for each in stack(files)["secrets"].values()}
    assert {len(name) for name in names} == {64}
    assert len(names) == 2


def test_only_what_is_asked_for_is_there(project: Project, tmp_path: Path) -> None:
    files = swarm_files(project, IMAGE)
    assert "gpu.yml" not in files.files
    assert stack(files)["services"]["monitor"]["deploy"]["replicas"] == 0
    project.set_environment(MONITOR_USER="ada", MONITOR_PASSWORD="secret", REDIS_URL="redis://r:1")
    files = swarm_files(project, IMAGE)
    assert stack(files)["services"]["monitor"]["deploy"]["replicas"] == 1
    assert not {"redis.yml", "redis.sh"} & files.files.keys()
    assert "gpu.yml" in swarm_files(start_project(tmp_path, "vision", gpu=True), IMAGE).files


def test_redis_stays_where_its_volume_is(project: Project) -> None:
    redis = stack(swarm_files(project, IMAGE), "redis.yml")["services"]["redis"]["deploy"]
    assert redis["placement"]["constraints"] == ["node.labels.denzel-redis == true"]
    assert redis["update_config"]["order"] == "stop-first"


def test_what_is_no_image_is_refused(project: Project) -> None:
    with pytest.raises(UsageError, match="cannot be an image's name"):
        swarm_files(project, "Shop Window")
