"""A project that was cloned, run with plain Compose on a machine without denzel."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
from collections.abc import Iterator

import pytest
import requests

from denzel.ports import free_port
from denzel.project import Project
from docker_deployment import READY_SECONDS, SOON, Deployment, clone
from engine import docker, end_deployment, require_engine

pytestmark = pytest.mark.docker

SPECIES = {"a123": "Iris-setosa", "b456": "Iris-virginica"}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """Yield an iris project that is not launched."""
    require_engine()
    parent = tmp_path_factory.mktemp("clone")
    project = Deployment(parent, f"clone-e2e-{os.getpid()}", "--example", "iris")
    yield project
    project.end()


def test_compose_has_nothing_to_warn_of(project: Deployment) -> None:
    programs = (["docker", "compose"], ["docker-compose"])
    for program in programs if shutil.which("docker-compose") else programs[:1]:
        command = [*program, "config"]
        done = subprocess.run(command, cwd=project.root, capture_output=True, text=True)
        assert (done.returncode, done.stderr) == (0, "")
        assert "latest" not in done.stdout


def test_a_clone_runs_elsewhere_with_plain_compose_and_is_as_closed(project: Deployment) -> None:
    key = project.run("apikey", "shop").splitlines()[0]
    name, port = f"{project.name}-copy", free_port(project.monitor_port + 1)
    copy = clone(project.root, project.parent / "elsewhere")
    assert not (copy / ".env.secrets").exists()
    Project(copy).set_environment(
        PROJECT_NAME=name, IMAGE=f"{name}:1.0.0", API_PORT=str(port),
        MONITOR_PORT=str(free_port(port + 1)),
    )  # fmt: skip
    # As an editor of Windows leaves them, or a checkout without .gitattributes.
    texts = ("docker-compose.yml", "Dockerfile", ".env", "requirements.txt", "requirements.sh")
    for path in [*copy.glob("entrypoints/*"), *(copy / name for name in texts)]:
        path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    environment = {key: text for key, text in os.environ.items() if key != "PYTHONPATH"}
    try:
        subprocess.run(
            ["docker", "compose", "up", "--detach", "--wait"],
            cwd=copy, env=environment, check=True, capture_output=True, timeout=READY_SECONDS,
        )  # fmt: skip
        request = (copy / "request.json").read_bytes()
        api = f"http://127.0.0.1:{port}/predict"
        assert requests.post(api, data=request, timeout=SOON).status_code == 401
        answer = requests.post(api, data=request, headers={"X-API-Key": key}, timeout=SOON)
        assert answer.json() == SPECIES
        settings = Project(copy).settings
        assert settings.callback_secret.startswith("whsec_")
        assert settings.redis_password not in ("", project.project.settings.redis_password)
        redis = f"{name}-redis-1"
        assert "NOAUTH" in docker("exec", redis, "redis-cli", "ping")
        assert "made anew: REDIS_PASSWORD CALLBACK_SECRET" in docker("logs", redis)
        owners = 'for p in /proc/[0-9]*; do echo "$(cat $p/comm) $(stat -c %U $p)"; done'
        assert "redis-server redis" in docker("exec", redis, "sh", "-c", owners)
        owner = (copy / ".env.secrets").stat()
        assert (owner.st_uid, stat.S_IMODE(owner.st_mode)) == (copy.stat().st_uid, 0o600)
    finally:
        end_deployment(name)
