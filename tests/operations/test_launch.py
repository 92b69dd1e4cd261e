"""Launch: where, on which ports, with which settings."""

from __future__ import annotations

import socket
from typing import Any

import pytest

from denzel import operations
from denzel.errors import EngineError, PortTaken, ProjectError, UsageError
from denzel.operations import silent
from denzel.ports import free_port
from denzel.project import Project

from .memory_backend import IMAGE, Deployments, launch, launch_image


def test_launch_records_backend_and_ports(
    project: Project, machine: Deployments, ports: tuple[int, int]
) -> None:
    deployment = launch(project, ports, "local")
    assert machine.done == ["local preflight", "local up"]
    assert project.backend == deployment.backend == "local"
    assert (project.settings.api_port, project.settings.monitor_port) == ports
    assert deployment.api_url == f"http://127.0.0.1:{ports[0]}"


def test_launch_with_metrics_sets_them_up_for_docker(
    project: Project, machine: Deployments, ports: tuple[int, int]
) -> None:
    project.set_environment(GRAFANA_PORT=str(free_port(ports[1] + 1)))
    deployment = operations.launch(
        project, backend="docker", api_port=ports[0], monitor_port=ports[1], with_metrics=True,
        report=silent,
    )  # fmt: skip
    assert project.settings.with_metrics
    assert len(key := project.settings.metrics_key) >= 16
    assert deployment.grafana_url == f"http://127.0.0.1:{project.settings.grafana_port}"
    operations.restart(project, report=silent)
    assert project.settings.metrics_key == key


def test_launch_with_metrics_needs_docker_and_a_port_for_grafana(
    project: Project, machine: Deployments, ports: tuple[int, int]
) -> None:
    options: dict[str, Any] = {"api_port": ports[0], "monitor_port": ports[1], "report": silent}
    with pytest.raises(UsageError, match="METRICS_KEY"):
        operations.launch(project, backend="local", with_metrics=True, **options)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        project.set_environment(GRAFANA_PORT=str(taken.getsockname()[1]))
        with pytest.raises(PortTaken, match="GRAFANA_PORT="):
            operations.launch(project, backend="docker", with_metrics=True, **options)
    assert not machine.up
    assert not project.settings.with_metrics
    project.set_environment(WITH_METRICS="1")
    assert operations.launch(project, backend="local", **options).grafana_url == ""


def test_launch_says_under_which_paths_the_services_are(
    project: Project, machine: Deployments, ports: tuple[int, int]
) -> None:
    project.set_environment(API_PREFIX="/iris", MONITOR_PREFIX="/monitor")
    deployment = launch(project, ports, "local")
    assert deployment.api_url == f"http://127.0.0.1:{ports[0]}/iris"
    assert deployment.monitor_url == f"http://127.0.0.1:{ports[1]}/monitor"


def test_launch_takes_the_ports_of_env_when_none_is_given(
    project: Project, machine: Deployments, ports: tuple[int, int]
) -> None:
    project.set_environment(API_PORT=str(ports[0]), MONITOR_PORT=str(ports[1]))
    operations.launch(project, backend=None, api_port=None, monitor_port=None, report=silent)
    assert (project.settings.api_port, project.settings.monitor_port) == ports


@pytest.mark.parametrize(
    ("user", "monitor"),
    [("", "http://127.0.0.1:{port}"), ("admin", "https://models.example/monitor")],
)
def test_launch_says_where_https_is_served(
    project: Project, machine: Deployments, ports: tuple[int, int], user: str, monitor: str
) -> None:
    project.set_environment(HTTPS_DOMAIN="models.example", API_PREFIX="/iris")
    project.set_environment(MONITOR_USER=user, MONITOR_PASSWORD=user)
    deployment = launch(project, ports, "local")
    assert deployment.api_url == "https://models.example/iris"
    assert deployment.monitor_url == monitor.format(port=ports[1])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"CORS_ORIGINS": "*", "CORS_CREDENTIALS": "1"}, "CORS_CREDENTIALS=1 does not go with"),
        ({"HTTPS_DOMAIN": "models.example", "HTTPS_PORT": "80"}, "four different ports"),
    ],
)
def test_settings_that_do_not_go_together_are_refused(
    project: Project,
    machine: Deployments,
    ports: tuple[int, int],
    settings: dict[str, str],
    message: str,
) -> None:
    project.set_environment(**settings)
    with pytest.raises(UsageError, match=message):
        launch(project, ports)
    assert machine.done == []


def test_a_misspelled_setting_is_told_and_no_error(
    project: Project, machine: Deployments, ports: tuple[int, int]
) -> None:
    project.set_environment(API_PROT="80")
    with project.secrets_file.open("a", encoding="utf-8") as file:
        file.write("METRIC_KEY=abc\n")
    project.forget()
    reported: list[str] = []
    operations.launch(
        project, backend=None, api_port=ports[0], monitor_port=ports[1], report=reported.append
    )
    operations.restart(project, report=reported.append)
    said = [
        f"In {project.env_file}: API_PROT is no setting of denzel's. Did you mean API_PORT?",
        f"In {project.secrets_file}: METRIC_KEY is no setting of denzel's. "
        "Did you mean METRICS_KEY?",
    ]
    assert reported == [*said, *said]


def test_missing_secrets_are_made_anew_and_told(
    project: Project, machine: Deployments, ports: tuple[int, int]
) -> None:
    before = project.settings
    project.secrets_file.unlink()
    project.set_environment(MONITOR_USER="ann", MONITOR_HOST="0.0.0.0")
    reported: list[str] = []
    operations.launch(
        project, backend=None, api_port=ports[0], monitor_port=ports[1], report=reported.append
    )
    made = "CALLBACK_SECRET, MONITOR_PASSWORD, REDIS_PASSWORD"
    assert reported[0] == f"Missing in .env.secrets, and made anew: {made}"
    assert reported[1].startswith("Receivers of callbacks")
    after = project.settings
    assert after.redis_password not in ("", before.redis_password)
    assert after.monitor_password
    project.set_environment(REDIS_PASSWORD="")
    operations.restart(project, report=reported.append)
    assert reported[2:] == ["Missing in .env.secrets, and made anew: REDIS_PASSWORD"]
    assert project.settings.callback_secret == after.callback_secret


def test_a_secret_in_the_file_that_travels_is_told(
    project: Project, machine: Deployments, ports: tuple[int, int]
) -> None:
    with project.env_file.open("a") as file:
        file.write("MONITOR_USER=ann\nMONITOR_PASSWORD=word\n")
    reported: list[str] = []
    operations.launch(
        project, backend=None, api_port=ports[0], monitor_port=ports[1], report=reported.append
    )
    (said,) = reported
    assert said.startswith("MONITOR_PASSWORD is a secret")
    assert "word" not in said


def test_running_services_are_restarted_by_an_upgrade_that_changes_files(
    project: Project, machine: Deployments, ports: tuple[int, int]
) -> None:
    launch(project, ports, "local")
    done = list(machine.done)
    reported: list[str] = []
    operations.upgrade(project.root, reported.append)
    assert (machine.done, reported) == (done, [])  # nothing to do
    (project.root / "entrypoints" / "api.sh").unlink()
    assert operations.upgrade(project.root, reported.append).added == ["entrypoints/api.sh"]
    assert machine.done[len(done) :] == ["local prepare 1", "local restart"]
    assert "restarted when the files are in place" in reported[0]


def test_what_runs_from_an_image_goes_on_at_an_upgrade(
    project: Project, machine: Deployments, ports: tuple[int, int]
) -> None:
    launch_image(project, IMAGE, ports)
    machine.done.clear()
    assert operations.upgrade(project.root, silent).notes == []  # nothing to do
    (project.root / "entrypoints" / "api.sh").unlink()
    (note,) = operations.upgrade(project.root, silent).notes
    assert f"from the image {IMAGE}, which stays as it is" in note
    assert machine.done == []


def test_a_second_launch_is_refused(
    project: Project, machine: Deployments, ports: tuple[int, int]
) -> None:
    launch(project, ports)
    for backend in (None, "docker", "local"):
        with pytest.raises(ProjectError, match="Project already launched! Did you mean to run"):
            launch(project, ports, backend)


def test_a_project_launched_without_denzel_is_launched(
    project: Project, machine: Deployments, ports: tuple[int, int]
) -> None:
    machine.up.add("docker")
    with pytest.raises(ProjectError, match="already launched"):
        launch(project, ports)


def test_a_copied_record_is_no_deployment(
    project: Project, machine: Deployments, ports: tuple[int, int]
) -> None:
    project.record_backend("local")
    assert launch(project, ports).backend == "docker"


def test_another_backend_serves_when_the_recorded_one_is_gone(
    project: Project, machine: Deployments, ports: tuple[int, int]
) -> None:
    project.record_backend("docker")
    machine.unusable.add("docker")
    with pytest.raises(EngineError):
        launch(project, ports)
    assert launch(project, ports, "local").backend == "local"


@pytest.mark.parametrize("failure", [EngineError("no engine"), KeyboardInterrupt(), OSError("x")])
def test_a_launch_that_fails_leaves_the_project_as_it_was(
    project: Project, machine: Deployments, ports: tuple[int, int], failure: BaseException
) -> None:
    before = project.env_file.read_bytes()
    machine.failure = failure
    with pytest.raises(type(failure)):
        launch(project, ports)
    assert project.env_file.read_bytes() == before
    assert project.backend is None
    assert project.settings.api_port == 8000


def test_a_launch_that_leaves_something_behind_is_remembered_for_shutdown(
    project: Project, machine: Deployments, ports: tuple[int, int]
) -> None:
    machine.failure = KeyboardInterrupt()
    machine.leaves_something = True
    with pytest.raises(KeyboardInterrupt):
        launch(project, ports, "local")
    assert project.backend == "local"


def test_a_taken_port_is_refused_before_anything_is_written(
    project: Project, machine: Deployments, ports: tuple[int, int]
) -> None:
    refusal = pytest.raises(PortTaken, match=f"Port {ports[1]} is taken.*--monitor-port")
    with socket.create_server(("::", ports[1]), family=socket.AF_INET6), refusal:
        launch(project, ports)
    assert "docker up" not in machine.done
    assert (project.settings.api_port, project.backend) == (8000, None)


def test_the_same_port_twice_is_refused(
    project: Project, machine: Deployments, ports: tuple[int, int]
) -> None:
    with pytest.raises(UsageError, match="both"):
        launch(project, (ports[0], ports[0]))
