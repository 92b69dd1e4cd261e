"""What goes wrong with a project on a real Docker engine: what is told, and what is left."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from docker_deployment import SOON, Deployment, wait_for
from engine import docker, left_behind, require_engine

pytestmark = pytest.mark.docker


@pytest.fixture(scope="module", autouse=True)
def _engine() -> None:
    require_engine()


@pytest.fixture
def plain(tmp_path: Path) -> Iterator[Deployment]:
    """A new project without an example."""
    plain = Deployment(tmp_path, f"plain-e2e-{os.getpid()}")
    yield plain
    plain.end()


def ports(deployment: Deployment) -> list[str]:
    """Return the options of launch that name the deployment's ports."""
    return [
        "--api-port", str(deployment.api_port), "--monitor-port", str(deployment.monitor_port)
    ]  # fmt: skip


def assert_clean(deployment: Deployment) -> None:
    """Assert that a failed launch left nothing, and that a shutdown is content with that."""
    label = f"label=com.docker.compose.project={deployment.name}"
    assert docker("ps", "--all", "--quiet", "--filter", label) == ""
    assert "Haven't been created yet" in deployment.run("status")
    deployment.run("shutdown", "--purge")
    assert left_behind(deployment.name) == []


def test_a_bad_line_in_the_dockerfile_is_told(plain: Deployment) -> None:
    with (plain.root / "Dockerfile").open("a") as dockerfile:
        dockerfile.write("RNU true\n")
    error = plain.refused("launch", "--docker", *ports(plain))
    assert "unknown instruction: RNU" in error
    assert "Correct the Dockerfile" in error
    assert_clean(plain)


def test_a_failing_build_is_told(plain: Deployment) -> None:
    with (plain.root / "Dockerfile").open("a") as dockerfile:
        dockerfile.write("RUN exit 42\n")
    error = plain.refused("launch", "--docker", *ports(plain))
    assert "exit code: 42" in error
    assert "exit code: 42" in (plain.root / "logs/build.log").read_text()
    assert_clean(plain)


def test_an_image_of_others_is_not_built_over(plain: Deployment) -> None:
    docker("tag", "redis:8", f"{plain.name}:1.0.0")
    error = plain.refused("launch", "--docker", *ports(plain))
    assert f"The image {plain.name}:1.0.0 was not built by this project" in error
    assert "set IMAGE" in error
    assert "Removing image" not in plain.run("shutdown", "--purge")
    docker("rmi", f"{plain.name}:1.0.0")


@pytest.mark.parametrize("setting", ["BASE_IMAGE", "REDIS_IMAGE"])
def test_an_image_that_cannot_be_had_is_named(plain: Deployment, setting: str) -> None:
    plain.project.set_environment(**{setting: "registry.invalid/none:1"})
    error = plain.refused("launch", "--docker", *ports(plain))
    assert "registry.invalid/none:1" in error
    assert "could not be pulled" in error
    assert_clean(plain)


@pytest.mark.parametrize("setting", ["IMAGE", "REDIS_IMAGE"])
def test_a_name_no_image_can_have_is_told(plain: Deployment, setting: str) -> None:
    plain.project.set_environment(**{setting: "Not A Name"})
    error = plain.refused("launch", "--docker", *ports(plain))
    assert "Not A Name" in error
    assert_clean(plain)


def test_a_gpu_project_needs_an_engine_with_gpus(plain: Deployment) -> None:
    if "nvidia" in docker("info", "--format", "{{json .Runtimes}}"):
        pytest.skip("this engine has an NVIDIA runtime")
    plain.project.set_environment(GPU="1")
    error = plain.refused("launch", "--docker", *ports(plain))
    assert "no NVIDIA runtime" in error
    assert "NVIDIA Container Toolkit" in error
    assert left_behind(plain.name) == []


def test_a_port_of_another_container_is_told(plain: Deployment) -> None:
    hog = f"{plain.name}-hog"
    docker("run", "--rm", "--detach", "--name", hog, "--publish", f"{plain.api_port}:80", "redis:8")
    try:
        error = plain.refused("launch", "--docker", *ports(plain))
    finally:
        docker("rm", "--force", "--volumes", hog)
    assert f"Port {plain.api_port} is taken" in error
    assert "--api-port" in error


def test_without_an_engine_the_way_without_is_named(plain: Deployment) -> None:
    error = plain.refused(
        "launch", "--docker", *ports(plain), env={"DOCKER_HOST": "unix:///none.sock"}
    )
    assert "No Docker engine answers" in error
    assert "--local" in error


def test_an_old_compose_is_told(plain: Deployment, tmp_path: Path) -> None:
    old = tmp_path / "docker-compose"
    old.write_text("#!/bin/sh\necho 1.29.2\n")
    old.chmod(0o755)
    error = plain.refused("launch", "--docker", *ports(plain), env={"PATH": str(tmp_path)})
    assert "version 1.29.2" in error
    assert "docker-compose-plugin" in error


def test_the_standalone_compose_serves(plain: Deployment, tmp_path: Path) -> None:
    program = shutil.which("docker-compose")
    if program is None:
        pytest.skip("docker-compose is not installed")
    (tmp_path / "docker-compose").symlink_to(program)
    done = plain.attempt("launch", "--docker", *ports(plain), env={"PATH": str(tmp_path)})
    assert done.returncode == 0, done.stdout
    plain.wait_until_ready()
    done = plain.attempt("shutdown", "--purge", env={"PATH": str(tmp_path)})
    assert done.returncode == 0, done.stdout
    assert left_behind(plain.name) == []


def test_ctrl_c_during_a_launch_leaves_nothing(plain: Deployment) -> None:
    launch = subprocess.Popen(
        [sys.executable, "-m", "denzel", "launch", "--docker", *ports(plain)],
        cwd=plain.root, start_new_session=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    label = f"label=com.docker.compose.project={plain.name}"
    assert wait_for(lambda: bool(docker("ps", "--all", "--quiet", "--filter", label)))
    os.killpg(launch.pid, signal.SIGINT)
    printed, _ = launch.communicate(timeout=SOON)
    assert launch.returncode not in (0, None)
    assert b"Traceback" not in printed
    assert_clean(plain)


def test_two_projects_of_one_name_do_not_touch_each_other(
    plain: Deployment, tmp_path: Path
) -> None:
    plain.launch()
    plain.wait_until_ready()
    twin = tmp_path / "twin"
    shutil.copytree(plain.root, twin)
    for command in (["launch", "--docker"], ["shutdown", "--purge"], ["stop"]):
        done = plain.attempt(*command, cwd=twin)
        assert done.returncode == 1
        assert f"The project in {plain.root} runs under the name {plain.name}" in done.stdout
    assert f"The project in {plain.root} runs" in plain.attempt("status", cwd=twin).stdout
    assert set(plain.states().values()) == {"UP"}
    shutil.rmtree(twin)
    shutil.rmtree(plain.root)
    plain.root.mkdir()
    for command in (["logs", "--tail", "1"], ["stop"], ["shutdown", "--purge"]):
        assert "was deleted; its services are still there" in plain.run(*command)
    assert left_behind(plain.name) == []


def test_a_check_needs_no_services(plain: Deployment) -> None:
    printed = plain.run("check", "--json")
    assert '"ok": true' in printed
    assert "kept for the next check or launch" in printed
    label = f"label=com.docker.compose.project={plain.name}"
    check = [sys.executable, "-m", "denzel", "check", "--json"]
    with subprocess.Popen(check, cwd=plain.root, start_new_session=True) as checking:
        assert wait_for(lambda: bool(docker("ps", "--quiet", "--filter", label)))
        assert "Haven't been created yet" in plain.run("status")  # a check is no deployment
        os.killpg(checking.pid, signal.SIGINT)
    assert wait_for(lambda: docker("ps", "--all", "--quiet", "--filter", label) == "")


def test_a_base_image_without_python_gets_one(plain: Deployment) -> None:
    """CUDA's images are like that; any Debian image stands in for them."""
    if not docker("images", "--quiet", "debian:trixie-slim"):
        pytest.skip("the image debian:trixie-slim is not on this machine")
    plain.project.set_environment(BASE_IMAGE="debian:trixie-slim")
    plain.launch()
    plain.wait_until_ready()
    assert requests.post(f"{plain.api}/predict", json={}, timeout=SOON).json() == {}
