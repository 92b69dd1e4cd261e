"""The verbs, on a backend that keeps its services in memory."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest

from denzel import operations
from denzel.backends.base import Backend, LogLine, Report
from denzel.errors import (
    CommandError,
    EngineError,
    Interrupted,
    PortTaken,
    ProjectError,
    RequirementsError,
    ServiceError,
    UsageError,
)
from denzel.operations import silent
from denzel.ports import free_port
from denzel.project import Project
from denzel.services import (
    NOT_LAUNCHED,
    REPLICA_SETTINGS,
    ServiceStatus,
    State,
    Status,
    WorkerStatus,
    replica_name,
)

UP = Status((ServiceStatus("api", State.UP, 8000),), (WorkerStatus("worker@x", State.UP),))
STARTING = Status((ServiceStatus("api", State.STARTING),))
FAILED = Status((ServiceStatus("api", State.ERROR, detail="no such package"),))
STOPPED = Status((ServiceStatus("api", State.DOWN),))
HALF_STOPPED = Status((ServiceStatus("api", State.UP), ServiceStatus("monitor", State.DOWN)))
ON_ITS_WAY = Status((ServiceStatus("redis", State.STARTING), ServiceStatus("api", State.DOWN)))


class Deployments:
    """What runs on this imagined machine: at most one deployment for each backend's name."""

    def __init__(self) -> None:
        self.up: set[str] = set()
        self.running: set[str] = set()
        self.done: list[str] = []
        self.unusable: set[str] = set()
        self.failure: BaseException | None = None
        self.leaves_something = False
        self.unswitchable = ""
        self.stuck = ""
        self.interrupted: set[str] = set()
        self.check_succeeds = True
        self.statuses: list[Status] = [UP]
        self.default = "docker"
        self.answer = ""
        self.replicas = 1

    def choose(self, project: Project, flag: str | None, report: Report) -> Backend:
        """Stand in for denzel.backends.choose."""
        return MemoryBackend(project, report, self, flag or project.backend or self.default)


class MemoryBackend(Backend):
    """Keeps a deployment's state in a Deployments object."""

    def __init__(self, project: Project, report: Report, machine: Deployments, name: str) -> None:
        super().__init__(project, report)
        self.machine = machine
        self.name = name  # type: ignore[misc]

    def _do(self, what: str) -> None:
        self.machine.done.append(f"{self.name} {what}")

    def preflight(self) -> None:
        self._do("preflight")

    def _ask_redis(self) -> str:
        return ""

    def launched(self) -> bool:
        if self.name in self.machine.unusable:
            raise EngineError(f"{self.name} is not there")
        return self.name in self.machine.up

    def running(self) -> bool:
        return self.name in self.machine.running

    def fetch(self, image: str) -> None:
        self._do(f"fetch {image}")

    def up(self) -> None:
        self._do("up")
        if self.machine.failure:
            self.machine.up |= {self.name} if self.machine.leaves_something else set()
            raise self.machine.failure
        self.machine.up.add(self.name)
        self.machine.running.add(self.name)

    def start(self) -> None:
        self._do("start")

    def stop(self) -> None:
        self._do("stop")

    def restart(self) -> None:
        self._do("restart")

    def down(self, *, purge: bool) -> None:
        self._do("purge" if purge else "down")
        self.machine.up.discard(self.name)

    def scale(self, services: Sequence[str]) -> None:
        numbers = [self.project.settings.worker_replicas, self.project.settings.api_replicas]
        self._do(f"scale {' '.join(services)} {numbers}")
        if self.machine.failure:
            raise self.machine.failure

    def replicas(self, service: str) -> list[str]:
        if service in REPLICA_SETTINGS and self.machine.replicas > 1:
            return [replica_name(service, each + 1) for each in range(self.machine.replicas)]
        return [service]

    def memory(self, service: str) -> tuple[int, int]:
        return 3 * 2**30, 8 * 2**30

    def status(self) -> Status:
        statuses = self.machine.statuses
        return statuses.pop(0) if len(statuses) > 1 else statuses[0]

    def logs(self, services: Sequence[str], *, follow: bool, tail: int | None) -> Iterator[LogLine]:
        return iter([LogLine(service, f"{follow} {tail}") for service in services])

    def shell(self, service: str, *, root: bool) -> int:
        return 3

    def run(self, service: str, module: str, *arguments: str, stdin: bytes = b"") -> str:
        self._do(" ".join(["run", service, module, *arguments]))
        if self.machine.failure:
            raise self.machine.failure
        return self.machine.answer

    def run_bare(self, service: str, module: str, *arguments: str) -> str:
        self._do(" ".join(["run bare", service, module, *arguments]))
        return ""

    def check(self, sample: bytes | None, *options: str, version: int = 0) -> str:
        self._do(" ".join(["check", *options]))
        ok = self.machine.check_succeeds
        return json.dumps({"ok": ok, "steps": [], "result": json.loads(sample or b"null")})

    def install(self, version: int, *, pip: bool, os: bool) -> None:
        self._do(f"install pip={pip} os={os}")

    def prepare(self, version: int) -> None:
        self._do(f"prepare {version}")
        if self.machine.failure:
            raise self.machine.failure

    def switch(self, service: str, version: int, *, stop_first: bool) -> None:
        self._do(f"switch {service} {version}{' stop first' if stop_first else ''}")
        if f"{service} {version}" in self.machine.interrupted:
            raise KeyboardInterrupt
        if service == self.machine.unswitchable or f"{service} {version}" == self.machine.stuck:
            raise ServiceError(f"{service}: the new one does not start")


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Deployments:
    """A machine on which nothing runs yet."""
    deployments = Deployments()
    monkeypatch.setattr("denzel.backends.choose", deployments.choose)
    monkeypatch.setattr("denzel.operations.observation.POLL_SECONDS", 0.01)
    monkeypatch.setattr("denzel.operations.observation.GRACE_SECONDS", 0.05)
    return deployments


@pytest.fixture
def ports(project: Project, unused_port: int) -> tuple[int, int]:
    """Two ports that are free; the project's ``.env`` names others."""
    return unused_port, free_port(unused_port + 1)


def launch(
    project: Project, ports: tuple[int, int], backend: str | None = None
) -> operations.Deployment:
    """Launch on certain ports."""
    return operations.launch(
        project, backend=backend, api_port=ports[0], monitor_port=ports[1], report=silent
    )


def test_launch_records_backend_and_ports(
    project: Project, machine: Deployments, ports: tuple[int, int]
) -> None:
    deployment = launch(project, ports, "local")
    assert machine.done == ["local preflight", "local up"]
    assert project.backend == deployment.backend == "local"
    assert (project.settings.api_port, project.settings.monitor_port) == ports
    assert deployment.api_url == f"http://127.0.0.1:{ports[0]}"


IMAGE, NEWER = "host.example/shop:1", "host.example/shop:2"


def launch_image(
    project: Project, image: str, ports: tuple[int, int] | None = None
) -> operations.Deployment:
    """Launch an image; on certain ports, or on those it has."""
    api, monitor = ports or (None, None)
    return operations.launch(
        project, backend=None, api_port=api, monitor_port=monitor, image=image, report=silent
    )


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
    assert machine.done == [f"docker fetch {NEWER}", "docker start"]
    assert (project.launch.image, project.launch.api_port) == (NEWER, ports[0])


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
    with socket.socket(socket.AF_INET6) as listener:
        listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listener.bind(("::", ports[1]))
        listener.listen()
        with pytest.raises(PortTaken, match=f"Port {ports[1]} is taken.*--monitor-port"):
            launch(project, ports)
    assert "docker up" not in machine.done
    assert (project.settings.api_port, project.backend) == (8000, None)


def test_the_same_port_twice_is_refused(
    project: Project, machine: Deployments, ports: tuple[int, int]
) -> None:
    with pytest.raises(UsageError, match="both"):
        launch(project, (ports[0], ports[0]))


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
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", ports[0]))
        listener.listen()
        with pytest.raises(PortTaken, match="`denzel shutdown` and launch again with `--api-port"):
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
        "docker check --timeout 60.0 --repeat 0", "local check --timeout 5 --repeat 9"
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


@pytest.fixture
def serving(project: Project, ports: tuple[int, int], machine: Deployments) -> Project:
    """A launched project that was edited since."""
    launch(project, ports)
    operations.status(project)  # which notes that it works
    machine.done.clear()
    edit(project, "VERSION = 2\n")
    return project


def edit(project: Project, text: str) -> None:
    (project.root / "app/logic/pipeline.py").write_text(text, encoding="utf-8")


def reload(project: Project, *, stop_first: bool = False) -> operations.Replacement:
    return operations.reload(project, stop_first=stop_first, timeout=5.0, report=silent)


def numbers(project: Project) -> tuple[list[int], int]:
    """Return the numbers of all versions, and that of the one which serves."""
    versions, served, _ = operations.versions(project)
    return [version.number for version in versions], served


def test_a_reload_tries_before_it_switches(serving: Project, machine: Deployments) -> None:
    assert reload(serving).version == 2
    assert machine.done == [
        "docker prepare 2", "docker check --timeout 5.0",
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
