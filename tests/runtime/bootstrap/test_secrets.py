"""A container's service, and what is run beside it, have the secrets of ``.env.secrets``."""

from __future__ import annotations

import subprocess
import sys

import pytest

from .project import Project

PRINT = ("python", "-c", "import os; print(*(os.environ.get(n) for n in 'ABC'), sep=',')")


def printed(done: subprocess.CompletedProcess[str]) -> str:
    """Return the last line of a program's output; pip's is before it."""
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()[-1]


@pytest.fixture
def project(project: Project) -> Project:
    """A project as its service finds it in a container."""
    project.environment.update(DENZEL_BACKEND="docker", A="mine", B="")
    (project.directory / ".env.secrets").write_text("A=a\nB=b\nC='c d'\nAPI_PORT=1\n")
    return project


def test_a_service_has_the_secrets_it_was_not_given_otherwise(project: Project) -> None:
    assert printed(project.run("api", program=PRINT)) == "mine,b,c d"


BESIDE = [sys.executable, "-m", "app.runtime.bootstrap.secrets", sys.executable, *PRINT[1:]]


def test_what_runs_beside_a_service_has_its_secrets(project: Project) -> None:
    project.run("api", program=PRINT)
    (project.directory / ".env.secrets").write_text("C=changed since\n")
    done = subprocess.run(
        BESIDE, cwd=project.directory, env=project.environment, capture_output=True, text=True
    )
    assert printed(done) == "mine,b,c d"


def test_what_runs_beside_a_service_that_starts_waits_for_them(project: Project) -> None:
    with subprocess.Popen(
        BESIDE, cwd=project.directory, env=project.environment, stdout=subprocess.PIPE, text=True
    ) as beside:
        project.run("api", program=PRINT)
        assert beside.communicate(timeout=30)[0].splitlines()[-1] == "mine,b,c d"


def test_a_setting_that_compose_must_know_is_not_taken_from_them(project: Project) -> None:
    del project.environment["API_PORT"]
    show = ("python", "-c", "import os; print(os.environ.get('API_PORT'))")
    assert printed(project.run("api", program=show)) == "None"


def test_local_services_get_them_from_denzel_alone(project: Project) -> None:
    project.environment["DENZEL_BACKEND"] = "local"
    assert printed(project.run("api", program=PRINT)) == "mine,,None"
