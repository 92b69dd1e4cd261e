"""The tutorial's life of a project, told by ``denzel`` on a real Docker engine.

The tests are one story in the tutorial's order: each goes on where the one before ended.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator

import pytest
import requests

from callback_receiver import Receiver
from denzel.ports import free_port
from denzel.services import METRICS_SERVICES, SERVICES, START_ORDER, State
from docker_deployment import READY_SECONDS, SOON, Deployment, wait_for
from engine import docker, left_behind, require_engine
from runtime.load import SteadyLoad

pytestmark = pytest.mark.docker

OWNER = 4321
SPECIES = {"a123": "Iris-setosa", "b456": "Iris-virginica"}
SLOW_MODEL = """

_load_model = load_model


def load_model():
    import time
    time.sleep(4)  # long enough for a status to be asked for meanwhile
    return _load_model()
"""
METRICS_DOCKERFILE = """\
FROM python:3.13-slim
RUN apt-get update && apt-get install --yes --no-install-recommends prometheus wget
RUN mkdir -p /www/api && ln -s /etc/denzel/dashboards/denzel.json /www/api/health
CMD ["python3", "-m", "http.server", "--directory", "/www", "3000"]
"""
OS_COMMANDS = "sleep 3\ndate +%s%N >> /etc/applied\n"


@pytest.fixture(scope="module", autouse=True)
def _engine() -> None:
    require_engine()


@pytest.fixture(scope="module")
def receiver() -> Iterator[Receiver]:
    receiver = Receiver("0.0.0.0", "host.docker.internal")
    yield receiver
    receiver.close()


@pytest.fixture(scope="module")
def metrics_image() -> Iterator[str]:
    """Debian's Prometheus; in place of Grafana, which no package has, who shows its dashboard."""
    name = f"metrics-e2e-{os.getpid()}:1"
    subprocess.run(
        ["docker", "build", "--tag", name, "-"],
        input=METRICS_DOCKERFILE, text=True, check=True, capture_output=True,
    )  # fmt: skip
    yield name
    docker("rmi", "--force", name)


@pytest.fixture(scope="module")
def life(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """A project of the iris example that belongs to someone other than root."""
    parent = tmp_path_factory.mktemp("life")
    life = Deployment(parent, f"iris-e2e-{os.getpid()}", "--example", "iris")
    with (life.root / "app/logic/pipeline.py").open("a") as pipeline:
        pipeline.write(SLOW_MODEL)
    with (life.root / "requirements.sh").open("a") as commands:
        commands.write(OS_COMMANDS)
    if os.getuid() == 0:
        for path in (life.root, *life.root.rglob("*")):
            os.chown(path, OWNER, OWNER)
    yield life
    life.end()


def test_nothing_is_there_before_the_launch(life: Deployment) -> None:
    assert "Haven't been created yet" in life.run("status")
    assert "Haven't been created yet" in life.refused("response", "--async")


def test_launch_shows_the_build_and_the_phases_in_order(life: Deployment) -> None:
    printed = life.launch()
    started = [line for line in printed.splitlines() if line.startswith("Starting ")]
    assert started == [f"Starting {name:<7} ... done" for name in START_ORDER]
    assert f'Creating network "{life.name}_default" with the default driver\n' in printed
    assert "exporting to image" in (life.root / "logs/build.log").read_text()
    assert "exporting to image" not in printed
    seen = life.wait_until_ready()
    # A container says STARTING... until its first process tells its phase.
    phases = {
        name: [
            each
            for each in dict.fromkeys(states[name] for states in seen)
            if each != State.STARTING
        ]
        for name in ("api", "denzel", "monitor", "callbacks")
    }
    assert phases["denzel"] == ["PIP INSTALLING...", "OS COMMANDS...", "UP"]
    for name, order in phases.items():
        assert order[0] == "PIP INSTALLING...", (name, order)
    worker = f"worker@{life.name}"
    states = list(dict.fromkeys(each[worker] for each in seen if worker in each))
    assert states == ["LOADING...", "UP"]
    pipeline = life.root / "app/logic/pipeline.py"
    pipeline.write_text(pipeline.read_text().removesuffix(SLOW_MODEL))


def test_packages_were_installed_once_for_all(life: Deployment) -> None:
    lines = life.run("logs").splitlines()
    installed = [line for line in lines if "Successfully installed" in line]
    assert len(installed) == 1
    assert "scikit-learn" in installed[0]


def test_launching_again_is_refused(life: Deployment) -> None:
    assert "Project already launched!" in life.refused("launch")


def test_status_is_the_tutorials(life: Deployment) -> None:
    assert life.run("status") == (
        "Services:\n"
        "    denzel - UP\n"
        f"    monitor - UP [ Port: {life.monitor_port} ]\n"
        f"    api - UP [ Port: {life.api_port} ]\n"
        "    redis - UP\n"
        "    callbacks - UP\n"
        f"Worker: worker@{life.name} - UP\n"
    )


def test_the_api_answers(life: Deployment) -> None:
    assert "Iris" in requests.get(f"{life.api}/info", timeout=SOON).text
    assert life.predict().json() == SPECIES


def test_the_monitor_answers_on_this_machine_alone(life: Deployment) -> None:
    url = f"http://127.0.0.1:{life.monitor_port}/healthcheck"
    assert requests.get(url, timeout=SOON).status_code == 200
    assert "127.0.0.1" in docker("port", f"{life.name}-monitor-1")
    assert "0.0.0.0" in docker("port", f"{life.name}-api-1")
    assert docker("port", f"{life.name}-redis-1") == ""


def test_the_engine_finds_every_service_healthy(life: Deployment) -> None:
    def healthy() -> bool:
        listing = docker(
            "ps", "--filter", f"label=com.docker.compose.project={life.name}",
            "--format", "{{.Status}}",
        )  # fmt: skip
        return listing.count("(healthy)") == len(SERVICES)

    assert wait_for(healthy)


@pytest.mark.parametrize("service", ["api", "denzel", "monitor", "callbacks"])
def test_nothing_serves_as_root(life: Deployment, service: str) -> None:
    top = docker("top", f"{life.name}-{service}-1", "-eo", "uid,pid,ppid,args")
    processes = [line.split()[:3] for line in top.splitlines()[1:]]
    # What the engine's health check or an exec runs is no child of the container's init.
    inside = {pid for _, pid, _ in processes}
    serving = {uid for uid, _, parent in processes if parent in inside}
    assert serving == {str(OWNER if os.getuid() == 0 else os.getuid())}
    owned = life.inside(service, "find", "/opt", "/srv", "/etc", "-xdev", "-uid", "10001")
    assert owned == ""


def test_files_in_the_project_belong_to_its_owner(life: Deployment) -> None:
    written = [path for path in life.root.rglob("*") if path.stat().st_uid != OWNER]
    if os.getuid() == 0:
        assert written == []
    assert (life.root / "logs" / "worker.log").exists()
    assert not list(life.root.rglob("__pycache__"))


def test_logs_and_the_workers_log_can_be_read(life: Deployment) -> None:
    redis = life.run("logs", "--service", "redis", "--tail", "5").splitlines()
    assert 1 <= len(redis) <= 5
    assert "ready." in life.run("logworker")


def test_a_shell_opens_in_the_workers_container(life: Deployment) -> None:
    assert life.run("shell", "--root", stdin="whoami\n").endswith("root\n")
    output = life.run("shell", stdin="pwd; command -v celery; whoami\n")
    assert output.splitlines() == ["/srv/denzel", "/opt/denzel/venv/bin/celery", "denzel"]


def test_an_asynchronous_answer_reaches_the_receiver(life: Deployment, receiver: Receiver) -> None:
    life.run("response", "--async")
    answer = life.predict(callback_uri=receiver.uri).json()
    assert answer["status"] == "success"
    assert receiver.bodies.get(timeout=SOON) == SPECIES
    status = requests.get(f"{life.api}/status/{answer['data']['task_id']}", timeout=SOON)
    assert status.json()["result"] == SPECIES


def test_stop_and_start_keep_results_and_response_mode(
    life: Deployment, receiver: Receiver
) -> None:
    task = life.predict(callback_uri=receiver.uri).json()["data"]["task_id"]
    url = f"{life.api}/status/{task}"
    assert wait_for(lambda: requests.get(url, timeout=SOON).json()["status"] == "SUCCESS")
    life.run("stop")
    assert set(life.states().values()) == {"DOWN"}
    assert "denzel start" in life.refused("response", "--sync")
    life.run("start")
    life.wait_until_ready()
    assert requests.get(url, timeout=SOON).json()["result"] == SPECIES
    assert life.predict(callback_uri=receiver.uri).json()["status"] == "success"
    life.run("response", "--sync")
    assert life.predict().json() == SPECIES


def test_changed_code_takes_effect_at_a_restart(life: Deployment) -> None:
    info = life.root / "app" / "assets" / "info.txt"
    info.write_text("Version 2\n")
    assert requests.get(f"{life.api}/info", timeout=SOON).text == "Version 2\n"
    pipeline = life.root / "app" / "logic" / "pipeline.py"
    pipeline.write_text(pipeline.read_text() + "\n\ndef process(m, j):\n    np.nothing\n")
    life.run("restart")
    assert wait_for(lambda: "no attribute 'nothing'" in life.run("status"), READY_SECONDS)
    assert life.states()[f"worker@{life.name}"] == "ERROR"
    pipeline.write_text(pipeline.read_text().partition("\n\ndef process(m, j)")[0])
    life.run("restart")
    life.wait_until_ready()
    assert life.predict().json() == SPECIES


def test_requirements_are_updated_in_the_services(life: Deployment) -> None:
    before = {name: life.inside(name, "cat", "/etc/applied") for name in ("api", "denzel")}
    assert all(len(text.split()) == 1 for text in before.values())
    with (life.root / "requirements.txt").open("a") as requirements:
        requirements.write("cowsay\n")
    life.run("updatereqs")
    life.wait_until_ready()
    for name in ("api", "denzel"):
        assert len(life.inside(name, "cat", "/etc/applied").split()) == 2
        find = "ls -d /opt/denzel/venv/others/*/lib/python3*/site-packages/cowsay"
        assert life.inside(name, "sh", "-c", find)
    assert "applied" not in life.inside("monitor", "ls", "/etc").split()


def test_a_reload_under_load_fails_no_request(life: Deployment) -> None:
    pipeline = life.root / "app" / "logic" / "pipeline.py"
    before = pipeline.read_text()
    pipeline.write_text(
        before + "\n\n_batch = predict_batch\ndef predict_batch(model, batch):\n"
        "    return [{**each, 'version': 2} for each in _batch(model, batch)]\n"
    )
    started = life.inside("api", "cat", "/proc/1/stat")
    body = json.loads((life.root / "request.json").read_text())
    with SteadyLoad(life.api_port, body, 32) as load:
        life.run("reload")
        new = {**SPECIES, "version": 2}
        assert wait_for(lambda: new in load.seen())
    assert load.failures == []
    assert {answer.status for answer in load.answers} == {200}
    assert load.seen() == [SPECIES, new]
    pipeline.write_text(before + "\nDEFAULT = undefined\n")
    assert "DEFAULT = undefined" in life.failed("reload")
    pipeline.write_text(before)
    life.run("rollback")
    assert life.predict().json() == SPECIES
    assert life.inside("api", "cat", "/proc/1/stat").split()[21] == started.split()[21]
    assert set(life.states().values()) == {"UP"}


def test_what_serves_can_write_logs_alone(life: Deployment) -> None:
    for path in (
        "entrypoints/api.sh", "app/runtime/bootstrap/main.py", "docker-compose.yml",
        "app/assets/new", "requirements.sh", "/opt/denzel/venv/bin/python",
    ):  # fmt: skip
        assert life.serving(f": >> {path}").returncode != 0, path
    assert life.serving("ls /opt/denzel/root").returncode != 0
    assert life.serving("mv entrypoints other").returncode != 0
    assert life.serving(": > logs/mine && rm logs/mine").returncode == 0


def test_root_follows_no_link_of_theirs(life: Deployment) -> None:
    files = ("/etc/passwd", "/etc/shadow")
    before = life.inside("denzel", "stat", "--format=%a %u %g %s", *files)
    life.serving(
        "cd logs && rm -f worker.log requirements-denzel.log requirements.log"
        " && ln -s /etc/passwd worker.log && ln -s /etc/shadow requirements-denzel.log"
        " && mkfifo requirements.log"
    )
    with (life.root / "requirements.sh").open("a") as commands:
        commands.write("echo once more\n")
    life.run("restart")
    life.wait_until_ready()
    assert life.inside("denzel", "stat", "--format=%a %u %g %s", *files) == before
    log = life.root / "logs" / "requirements-denzel.log"
    assert not log.is_symlink()
    assert "once more" in log.read_text()
    (life.root / "logs" / "requirements.log").unlink()  # a pipe is nothing to copy


def test_the_versions_that_were_installed_are_written_down(life: Deployment) -> None:
    lock = life.root / "requirements.lock"
    assert "scikit-learn==" in lock.read_text()
    if os.getuid() == 0:
        assert lock.stat().st_uid == OWNER


def test_a_recreated_container_applies_the_commands_by_itself(life: Deployment) -> None:
    life.project.set_environment(LOG_LEVEL="warning")
    life.run("restart")
    life.wait_until_ready()
    assert len(life.inside("denzel", "cat", "/etc/applied").split()) == 1


def test_a_launch_with_metrics_after_a_shutdown_builds_no_image_again(
    life: Deployment, metrics_image: str
) -> None:
    life.run("shutdown")
    assert "Haven't been created yet" in life.run("status")
    life.project.set_environment(
        PROMETHEUS_IMAGE=metrics_image, GRAFANA_IMAGE=metrics_image,
        GRAFANA_PORT=str(free_port(life.monitor_port + 1)),
    )  # fmt: skip
    printed = life.launch("--with-metrics")
    assert "Building the image" not in printed
    life.wait_until_ready()


def test_prometheus_has_the_figures_of_the_services(life: Deployment) -> None:
    assert life.predict().json() == SPECIES
    prometheus = f"{life.name}-prometheus-1"

    def value(query: str) -> str:
        found = docker(
            "exec", prometheus, "promtool", "query", "instant", "http://localhost:9090", query
        )
        return found.partition("=> ")[2].partition(" ")[0]

    assert wait_for(lambda: value("denzel_worker_up") == "1")
    answered = 'denzel_http_requests_total{route="/predict",status="200"}'
    assert wait_for(lambda: value(answered) == "1")
    assert life.run("status").count("UP") == len(SERVICES) + len(METRICS_SERVICES) + 1


def test_a_purge_leaves_nothing_but_files(life: Deployment) -> None:
    ours, others = f"{life.name}:1.0.0", f"registry.invalid/{life.name}:2"
    docker("tag", ours, others)
    derived = life.parent / "derived"
    derived.mkdir()
    (derived / "Dockerfile").write_text(f"FROM {ours}\nRUN true\n")
    docker("build", "--quiet", "--tag", f"{others}-derived", str(derived))
    printed = life.run("shutdown", "--purge")
    names = [f"{life.name}-{name}-1" for name in (*START_ORDER, *METRICS_SERVICES)]
    for verb in ("Stopping", "Removing"):
        lines = [line.split()[1:] for line in printed.splitlines() if line.startswith(verb)]
        assert sorted(line for line in lines if line[-1] == "done") == [
            [name, "...", "done"] for name in sorted(names)
        ]
    assert f"Removing network {life.name}_default\n" in printed
    assert f"Removing image {ours}\n" in printed
    assert docker("images", "--quiet", ours) == ""
    docker("rmi", others, f"{others}-derived")
    assert left_behind(life.name) == []
    assert docker("images", "--quiet", life.redis_image) != ""  # which others may use
    assert (life.root / "app" / "logic" / "pipeline.py").exists()
    life.run("shutdown", "--purge")
