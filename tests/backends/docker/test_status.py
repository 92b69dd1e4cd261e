"""What ``denzel status`` says about containers in each state the engine knows."""

from __future__ import annotations

import json
from typing import Any

import pytest

from denzel.backends.docker.status import (
    Container,
    Records,
    project_status,
    read_container,
    read_records,
    read_worker_record,
)
from denzel.services import SERVICES, ServiceStatus, State

UP: Records = {"api": (State.UP, ""), "denzel": (State.UP, ""), "worker": (State.UP, "")}


def container(service: str = "api", status: str = "running", **more: Any) -> Container:
    return Container(service, status, **more)


def line_of(*containers: Container) -> ServiceStatus:
    status = project_status(containers, "worker@shop", {})
    return next(line for line in status.services if line.name == containers[0].service)


def test_services_without_containers_are_down() -> None:
    status = project_status([], "worker@shop", {"api": 8000})
    assert [line.name for line in status.services] == list(SERVICES)
    assert {line.state for line in status.services} == {State.DOWN}
    assert next(line.port for line in status.services if line.name == "api") == 8000
    assert status.workers == ()


def test_several_apis_without_a_balancer_are_told() -> None:
    replicas = [container(records=UP), container(number=2, records=UP)]
    status = project_status(replicas, "worker@shop", {})
    assert status.services[-1] == ServiceStatus("balancer", State.DOWN)
    one = project_status(replicas[:1], "worker@shop", {})
    assert "balancer" not in [line.name for line in one.services]


def test_a_redis_elsewhere_is_as_a_container_finds_it() -> None:
    records: Records = {**UP, "redis": (State.DOWN, "r.example:6379 cannot be reached")}
    status = project_status([container(records=records)], "worker@shop", {})
    line = next(line for line in status.services if line.name == "redis")
    assert line == ServiceStatus("redis", State.DOWN, detail="r.example:6379 cannot be reached")


def test_a_service_the_user_added_has_a_line() -> None:
    status = project_status([container("cache", health="")], "worker@shop", {})
    assert status.services[-1] == ServiceStatus("cache", State.UP)


@pytest.mark.parametrize(
    "state", [State.PIP_INSTALLING, State.OS_COMMANDS, State.STARTING, State.UP, State.ERROR]
)
def test_a_running_service_says_itself_how_it_is(state: State) -> None:
    line = line_of(container(records={"api": (state, "why")}, port=8000))
    assert line == ServiceStatus("api", state, 8000, "why" if state is not State.UP else "")


def test_a_service_that_has_said_nothing_yet_is_starting() -> None:
    assert line_of(container()).state is State.STARTING


def test_an_unhealthy_service_is_in_error() -> None:
    line = line_of(container(records=UP, health="unhealthy"))
    assert line.state is State.ERROR
    assert "denzel logs --service api" in line.detail


def test_the_workers_health_is_shown_by_the_worker_line() -> None:
    records: Records = {"denzel": (State.UP, ""), "worker": (State.ERROR, "no model")}
    sick = container("denzel", records=records, health="unhealthy")
    assert line_of(sick).state is State.UP
    (worker,) = project_status([sick], "worker@shop", {}).workers
    assert (worker.name, worker.state, worker.detail) == ("worker@shop", State.ERROR, "no model")


def test_a_worker_that_has_said_nothing_yet_is_loading() -> None:
    (worker,) = project_status(
        [container("denzel", records={"denzel": (State.UP, "")})], "worker@shop", {}
    ).workers
    assert worker.state is State.LOADING


def test_there_is_no_worker_line_while_its_service_prepares() -> None:
    installing = container("denzel", records={"denzel": (State.PIP_INSTALLING, "")})
    assert project_status([installing], "worker@shop", {}).workers == ()


@pytest.mark.parametrize(
    ("health", "state"),
    [("starting", State.STARTING), ("healthy", State.UP), ("unhealthy", State.ERROR)],
)
def test_redis_is_what_its_health_check_says(health: str, state: State) -> None:
    assert line_of(container("redis", health=health)).state is state


def test_a_container_that_ends_again_and_again_is_in_error() -> None:
    line = line_of(container(status="restarting", exit_code=127))
    assert line.state is State.ERROR
    assert "exit code 127;" in line.detail


def test_a_container_that_was_ended_for_its_memory_says_so() -> None:
    line = line_of(container(status="restarting", exit_code=137, out_of_memory=True))
    assert "exit code 137 (it used more memory than it may)" in line.detail


def test_a_container_that_waits_for_another_is_starting() -> None:
    assert line_of(container(status="created")).state is State.STARTING


def test_a_container_that_could_not_be_started_is_in_error() -> None:
    line = line_of(container(status="created", error="port is already allocated"))
    assert (line.state, line.detail) == (State.ERROR, "port is already allocated")


@pytest.mark.parametrize("code", [0, 137, 143, 1])
def test_a_stopped_container_is_down(code: int) -> None:
    assert line_of(container(status="exited", exit_code=code)).state is State.DOWN


def test_of_several_containers_the_one_furthest_from_up_counts() -> None:
    up = container(records=UP)
    loading = container(records={"api": (State.PIP_INSTALLING, "")})
    assert line_of(up, loading).state is State.PIP_INSTALLING
    assert line_of(up, container(status="exited")).state is State.DOWN


def test_records_are_read_from_what_grep_prints() -> None:
    listing = (
        '/run/denzel/api.json:{"state": "UP", "detail": ""}\n'
        '/run/denzel/worker.json:{"state": "ERROR", "detail": "no: model"}\n'
        '/run/denzel/.api.17:{"state": "UP", "detail": ""}\n'
        "/run/denzel/half.json:{\n"
        '/run/denzel/odd.json:{"state": "SINGING", "detail": ""}\n'
    )
    assert read_records(listing) == {"api": (State.UP, ""), "worker": (State.ERROR, "no: model")}


def test_how_the_worker_holds_its_model_is_read() -> None:
    record = {
        "state": "UP", "detail": "", "model": {"processes": 2}, "stalled": [{"pid": 7}],
    }  # fmt: skip
    listing = f"/run/denzel/worker.json:{json.dumps(record)}\n"
    assert read_worker_record(listing) == record
    assert read_worker_record("") == {}
    up = container(
        "denzel",
        records={"denzel": (State.UP, ""), **read_records(listing)},
        worker_record=read_worker_record(listing),
    )
    (worker,) = project_status([up], "worker@shop", {}).workers
    assert (worker.model, worker.stalled) == ({"processes": 2}, [{"pid": 7}])


def test_a_container_is_read_from_its_inspection() -> None:
    attributes = {
        "Config": {"Labels": {"com.docker.compose.service": "api"}},
        "State": {"Status": "running", "ExitCode": 0, "Error": "", "Health": {"Status": "healthy"}},
        "HostConfig": {"PortBindings": {"8000/tcp": [{"HostIp": "", "HostPort": "8080"}]}},
    }
    assert read_container(attributes) == Container("api", "running", health="healthy", port=8080)


def test_replicas_are_one_line_of_the_one_that_is_furthest_from_up() -> None:
    up = {"denzel": (State.UP, ""), "worker": (State.UP, "")}
    failed = {"denzel": (State.ERROR, "no such package")}
    replicas = [
        Container("denzel", "running", number=2, records=failed),
        Container("denzel", "running", number=1, records=up, worker_record={"name": "worker@shop"}),
    ]
    status = project_status(replicas, "worker@shop", {})
    (line,) = [line for line in status.services if line.name == "denzel"]
    assert (line.state, line.detail, line.replicas) == (
        State.ERROR, "denzel-2: no such package", 2,
    )  # fmt: skip
    assert [worker.name for worker in status.workers] == ["worker@shop"]
