"""What ``docker`` and Compose are run with: nothing of the caller's that a service could notice."""

from __future__ import annotations

import stat
from pathlib import Path

from denzel.backends.docker.compose import Compose
from denzel.backends.docker.environment import build_environment, client_environment
from denzel.project import Project

CALLER = {
    "PATH": "/bin",
    "HOME": "/home/ann",
    "DOCKER_HOST": "tcp://engine:2376",
    "API_PORT": "1",
    "REDIS_PASSWORD": "theirs",
    "CELERY_BROKER_URL": "redis://elsewhere",
    "COMPOSE_FILE": "/other.yml",
    "COMPOSE_PROFILES": "debug",
    "DOCKER_DEFAULT_PLATFORM": "linux/arm64",
    "DENZEL_BUILD_SETTINGS": "/etc/passwd",
    "GUNICORN_CMD_ARGS": "--reload",
    "OMP_NUM_THREADS": "1",
    "PIP_INDEX_URL": "https://elsewhere",
    "PYTHONPATH": "/elsewhere",
}


def test_only_what_reaches_the_engine_is_handed_on(project: Project) -> None:
    assert client_environment(CALLER, project) == {
        name: CALLER[name] for name in ("PATH", "HOME", "DOCKER_HOST")
    }


def test_the_ports_chosen_at_launch_come_before_those_in_env(project: Project) -> None:
    project.record_backend("docker", api_port=8123)
    assert client_environment({}, project) == {"API_PORT": "8123"}


def test_a_build_reads_settings_of_pips_among_the_secrets(project: Project) -> None:
    assert build_environment(project) == {}
    project.set_environment(PIP_RETRIES="1")
    project.write_secrets("PIP_INDEX_URL=https://ann:word@index.example\nTOKEN=x\n")
    file = project.private / "build.env"
    assert build_environment(project) == {"DENZEL_BUILD_SETTINGS": str(file)}
    text = file.read_text()
    assert text.endswith("PIP_INDEX_URL=https://ann:word@index.example\n")
    assert "PIP_RETRIES=1\n" in text
    assert "TOKEN" not in text
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_a_project_may_have_the_name_of_a_command(project: Project) -> None:
    asked = ["docker", "compose", "--project-name", "logs"]
    assert Compose(project, "logs").place([*asked, "up"])["cwd"] == project.root
    assert Compose(project, "shop").place([*asked[:-1], "shop", "logs"])["cwd"] == Path("/")
