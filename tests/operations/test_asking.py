"""What a running deployment is asked: its callbacks, its state, its logs, a check."""

from __future__ import annotations

import pytest

from denzel import operations
from denzel.backends.base import LogLine
from denzel.errors import CommandError, ServiceError, UsageError
from denzel.operations import silent
from denzel.project import Project
from denzel.services import ServiceStatus, State, Status

from .memory_backend import UP, Deployments, launch

STARTING = Status((ServiceStatus("api", State.STARTING),))
FAILED = Status((ServiceStatus("api", State.ERROR, detail="no such package"),))
STOPPED = Status((ServiceStatus("api", State.DOWN),))
HALF_STOPPED = Status((ServiceStatus("api", State.UP), ServiceStatus("monitor", State.DOWN)))
ON_ITS_WAY = Status((ServiceStatus("redis", State.STARTING), ServiceStatus("api", State.DOWN)))


def test_the_response_mode_is_set_in_the_project(
    project: Project, machine: Deployments, ports: tuple[int, int]
) -> None:
    launch(project, ports)
    operations.set_response(project, synchronous=True, timeout=2.5)
    assert machine.done[-1] == "docker run bare api app.runtime.admin response --sync --timeout 2.5"
    operations.set_response(project, synchronous=False, timeout=5.0)
    assert machine.done[-1] == "docker run bare api app.runtime.admin response --async"


def test_callbacks_are_asked_of_the_api(
    project: Project, machine: Deployments, ports: tuple[int, int]
) -> None:
    launch(project, ports)
    machine.answer = '[{"task_id": "t1"}]\n'
    assert operations.undelivered_callbacks(project) == [{"task_id": "t1"}]
    assert machine.done[-1] == "docker run api app.runtime.admin callbacks"
    machine.answer = '{"count": 2}\n'
    assert operations.retry_callbacks(project, "all") == 2
    assert machine.done[-1] == "docker run api app.runtime.admin callbacks --retry all"
    assert operations.drop_callbacks(project, "t1") == 2
    assert machine.done[-1] == "docker run api app.runtime.admin callbacks --drop t1"
    machine.answer = "Segmentation fault"
    with pytest.raises(ServiceError, match="Segmentation fault"):
        operations.undelivered_callbacks(project)


def test_what_the_deployment_refuses_is_told_in_its_words(
    project: Project, machine: Deployments, ports: tuple[int, int]
) -> None:
    launch(project, ports)
    reason = "Callbacks: there is no callback of a task nope"
    machine.failure = CommandError("`python` failed with exit code 1", said=f"a warning\n{reason}")
    with pytest.raises(ServiceError) as refused:
        operations.retry_callbacks(project, "nope")
    assert str(refused.value) == reason
    machine.failure = CommandError("`python` failed", said="Traceback (most recent call last)")
    with pytest.raises(CommandError, match="failed"):
        operations.retry_callbacks(project, "nope")


@pytest.mark.parametrize(
    ("then", "said"),
    [
        (FAILED, "api: no such package\n`denzel logs` and `denzel logworker` show more"),
        (STOPPED, "Stopped: api; `denzel start` starts"),
        (HALF_STOPPED, "Stopped: monitor; `denzel start` starts"),
        (STARTING, r"Not ready after 0\.3 s \(api is STARTING\)"),
        (ON_ITS_WAY, r"Not ready after 0\.3 s \(redis is STARTING, api is DOWN\)"),
    ],
)
def test_waiting_ends_when_it_is_in_vain(
    project: Project, machine: Deployments, ports: tuple[int, int], then: Status, said: str
) -> None:
    launch(project, ports)
    machine.statuses = [STARTING, then]
    with pytest.raises(ServiceError, match=said):
        operations.wait_until_ready(project, timeout=0.3, seen=lambda _: None)


def test_waiting_outlasts_a_passing_error(
    project: Project, machine: Deployments, ports: tuple[int, int]
) -> None:
    launch(project, ports)
    machine.statuses = [STARTING, FAILED, STOPPED, UP]
    seen: list[Status] = []
    assert operations.wait_until_ready(project, timeout=5, seen=seen.append) is UP
    assert seen[-1] is UP


def test_logs_of_one_service_or_all(
    project: Project, machine: Deployments, ports: tuple[int, int]
) -> None:
    launch(project, ports)
    assert list(operations.logs(project, None, follow=True, tail=3)) == [LogLine("api", "True 3")]
    with pytest.raises(ServiceError, match="no service 'cache'; there are api"):
        operations.logs(project, "cache", follow=False, tail=None)


def test_check_runs_on_the_backend_asked_for(project: Project, machine: Deployments) -> None:
    machine.default = "local"
    operations.check(project, None, backend="docker", report=silent)
    operations.check(project, None, timeout=5, repeat=9, report=silent)
    assert machine.done == [
        "docker check --timeout 60.0 --sample-bytes 0 --repeat 0",
        "local check --timeout 5 --sample-bytes 0 --repeat 9",
    ]  # fmt: skip


def test_the_example_is_asked_of_the_deployed_pipeline(
    project: Project, machine: Deployments, ports: tuple[int, int]
) -> None:
    launch(project, ports)
    machine.answer = '{"data": 1}'
    assert operations.example(project) == (b'{"data": 1}', "application/json")
    assert "run api app.runtime.pipeline.trial" in machine.done[-1]
    (project.root / "app" / "assets" / "cat.jpg").write_bytes(b"\xff\xd8")
    machine.answer = '"app/assets/cat.jpg"'
    assert operations.example(project) == (b"\xff\xd8", "image/jpeg")
    machine.answer = "null"
    with pytest.raises(UsageError, match="define EXAMPLE"):
        operations.example(project)


def test_check_hands_the_sample_to_the_pipeline(project: Project, machine: Deployments) -> None:
    sample = operations.read_request(b'{"a": 1}', "x.json")
    assert operations.check(project, sample, report=silent)["result"] == {"a": 1}
    assert machine.done[-1].endswith("--repeat 0")
    sample = operations.read_request(b'{"a": 1}', "x.json", "text/csv")
    operations.check(project, sample, report=silent)
    assert machine.done[-1].endswith("--content-type text/csv")


@pytest.mark.parametrize(
    ("content", "name", "given", "found"),
    [
        (b'{"a": 1}', "request.txt", None, "application/json"),
        (b"\xff\xd8", "cat.jpg", None, "image/jpeg"),
        (b"a,b", "cat.jpg", "text/csv", "text/csv"),
        (b"[" * 100_000 + b"]" * 100_000, "request.json", None, "application/json"),
    ],
)
def test_a_file_tells_what_it_is(content: bytes, name: str, given: str | None, found: str) -> None:
    assert operations.read_request(content, name, given) == (content, found)


@pytest.mark.parametrize(
    ("name", "given", "message"),
    [
        ("x.json", None, r"x\.json does not hold JSON: [^;]*$"),
        ("<stdin>", None, "does not hold JSON: .*; --content-type tells what else it is"),
        ("cat.jpg", "application/json", r"cat\.jpg does not hold JSON"),
    ],
)
def test_a_file_that_is_nothing_known_is_refused(
    name: str, given: str | None, message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        operations.read_request(b"\xff", name, given)
