"""What fails while a project runs on a real Docker engine: what is told, and what goes on.

The tests share one launched project, which the last of them takes apart.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
import requests

from docker_deployment import SOON, Deployment, wait_for
from engine import docker, require_engine

pytestmark = pytest.mark.docker

HEALTH_SECONDS = 120
"""The engine asks every six seconds, and believes a second failure."""


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """Yield a launched project without an example."""
    require_engine()
    running = Deployment(tmp_path_factory.mktemp("running"), f"failures-e2e-{os.getpid()}")
    try:
        running.launch()
        running.wait_until_ready()
        yield running
    finally:
        running.end()


def test_commands_that_fail_are_told(running: Deployment) -> None:
    script = running.root / "requirements.sh"
    before = script.read_text()
    script.write_text("echo no such package >&2\nexit 9\n")
    assert "no such package" in running.refused("updateosreqs")
    script.write_text(before)
    requirements = running.root / "requirements.txt"
    before = requirements.read_text()
    requirements.write_text("tornado==1.0\n")
    assert "flower" in running.refused("updatepipreqs")
    requirements.write_text(before)
    assert set(running.states().values()) == {"UP"}


def test_a_restart_with_requirements_that_fail_leaves_the_services_alone(
    running: Deployment,
) -> None:
    started = running.inside("api", "cat", "/proc/1/stat")
    for name, text in (("requirements.txt", "tornado==1.0\n"), ("requirements.sh", "exit 9\n")):
        file = running.root / name
        before = file.read_text()
        file.write_text(text)
        assert "the services go on as they are" in running.refused("restart")
        file.write_text(before)
    assert running.inside("api", "cat", "/proc/1/stat").split()[21] == started.split()[21]
    assert set(running.states().values()) == {"UP"}


def test_what_hangs_is_unhealthy_until_it_goes_on(running: Deployment) -> None:
    worker = "pgrep() { for p in /proc/[0-9]*; do grep -qsz app.runtime.worker $p/cmdline && "
    worker += "! grep -qsz bootstrap.host $p/cmdline && "
    worker += "basename $p; done | sort -n | head -1; }; kill -{} $(pgrep)"
    # Docker counts failures from the first success on, which comes some seconds after UP.
    assert wait_for(lambda: running.health("denzel") == "healthy", HEALTH_SECONDS)
    running.inside("denzel", "sh", "-c", worker.replace("{}", "STOP"))
    try:
        assert wait_for(lambda: running.states()["denzel"] == "ERROR", HEALTH_SECONDS)
        assert wait_for(lambda: running.health("denzel") == "unhealthy", HEALTH_SECONDS)
    finally:
        running.inside("denzel", "sh", "-c", worker.replace("{}", "CONT"))
    running.wait_until_ready()
    assert wait_for(lambda: running.health("denzel") == "healthy", HEALTH_SECONDS)


def test_while_redis_hangs_what_needs_it_is_not_up(running: Deployment) -> None:
    docker("pause", f"{running.name}-redis-1")
    try:
        states = running.states()
    finally:
        docker("unpause", f"{running.name}-redis-1")
    assert {states[name] for name in ("api", "denzel", "callbacks")} == {"ERROR"}
    assert states["monitor"] == "UP"
    running.wait_until_ready()


def test_a_redis_elsewhere_is_asked_from_the_services_network(running: Deployment) -> None:
    elsewhere, before = f"{running.name}-elsewhere", running.project.settings.redis_password
    docker(
        "run", "--detach", "--name", elsewhere, "--network", f"{running.name}_default",
        running.redis_image, "redis-server", "--appendonly", "yes", "--requirepass", "theirs",
    )  # fmt: skip
    try:
        running.project.set_environment(REDIS_URL=f"redis://{elsewhere}/1")
        assert f"Redis ({elsewhere}:6379) answers WRONGPASS" in running.refused("restart")
        assert running.states()["api"] == "UP"
        running.project.set_environment(REDIS_PASSWORD="theirs")
        running.run("restart")
        running.wait_until_ready()
        assert f"{running.name}-redis-1" not in docker("ps", "--all", "--format", "{{.Names}}")
        running.run("response", "--sync")
        assert requests.post(f"{running.api}/predict", json={}, timeout=SOON).json() == {}
        docker("pause", elsewhere)
        assert running.states()["redis"] == "DOWN"
    finally:
        docker("rm", "--force", "--volumes", elsewhere)
        running.project.set_environment(REDIS_URL="", REDIS_PASSWORD=before)
    running.run("restart")
    running.wait_until_ready()


def test_what_was_removed_by_hand_comes_back(running: Deployment) -> None:
    docker("rmi", "--force", "--no-prune", f"{running.name}:1.0.0")
    docker("rm", "--force", f"{running.name}-redis-1", f"{running.name}-api-1")
    assert running.states()["redis"] == "DOWN"
    printed = running.run("restart")
    assert f"had lost its name {running.name}:1.0.0" in printed
    assert "Building the image" not in printed
    running.wait_until_ready()
    running.run("stop")
    docker("network", "rm", f"{running.name}_default")
    running.run("start")
    running.wait_until_ready()
    # What cannot be had any more is told before anything stops.
    docker("rm", "--force", f"{running.name}-redis-1")
    docker("rmi", "--force", running.redis_image)
    assert running.redis_image in running.refused("restart")
    assert running.states()["monitor"] == "UP"
