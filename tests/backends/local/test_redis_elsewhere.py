"""With REDIS_URL no Redis is started here; the one it names is asked, and must be able to serve."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from backends.contract import wait_until, wait_until_ready
from backends.stand_in_project import SOON, Launched, line, stand_in_project
from denzel import operations
from denzel.backends.local.backend import LocalBackend
from denzel.backends.local.development import DevelopmentProject
from denzel.errors import ServiceError
from denzel.operations.deployment import check_settings, make_missing_secrets
from denzel.project import Project
from denzel.services import State
from denzel.settings import new_secrets
from runtime.redis_servers import LOOPBACK, RedisServer, running


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    """A Redis of the user's."""
    found = RedisServer(tmp_path, "theirs", options=["appendonly yes", "requirepass theirs"])
    with running(found):
        yield found


@pytest.fixture
def project(tmp_path: Path, server: RedisServer) -> Project:
    """A project that uses it; the URL stands with the secrets."""
    project = stand_in_project(tmp_path)
    with project.secrets_file.open("a") as file:
        file.write(f"REDIS_URL=redis://:theirs@{LOOPBACK}:{server.port}/1\n")
    project.forget()
    return project


def test_it_is_used_and_watched(project: Project, server: RedisServer) -> None:
    launched = Launched(project)
    with launched as backend:
        wait_until_ready(backend, SOON)
        assert "Starting redis   ... done" not in launched.reported
        assert not (project.private / "redis.conf").exists()
        assert server.client(db=1, password="theirs").get("denzel:project") == b"stand_in"
        with pytest.raises(ServiceError, match="Redis runs elsewhere"):
            operations.logs(project, "redis", follow=False, tail=1)
        server.kill()
        wait_until(lambda: line(backend, "redis").state is State.DOWN, SOON, backend.status)
        assert "cannot be reached" in line(backend, "redis").detail
        with pytest.raises(ServiceError, match=f"{server.port}.* cannot be reached"):
            backend.restart()
        assert backend.running()
        server.start()
        wait_until(lambda: line(backend, "redis").state is State.UP, SOON, backend.status)


def test_a_launch_is_refused_where_it_cannot_serve(project: Project) -> None:
    text = project.secrets_file.read_text().replace(":theirs@", ":wrong@")
    project.write_secrets(text)
    backend = LocalBackend(project, lambda _: None)
    with pytest.raises(ServiceError, match=r"WRONGPASS.*REDIS_PASSWORD in \.env\.secrets"):
        backend.up()
    assert not backend.launched()
    assert not backend.running()


def test_no_password_is_made_for_it(project: Project) -> None:
    assert "REDIS_PASSWORD" in new_secrets({})
    assert "REDIS_PASSWORD" not in new_secrets({"REDIS_URL": "redis://r.example"})
    project.set_environment(REDIS_PASSWORD="")
    make_missing_secrets(project, pytest.fail)
    assert project.settings.redis.password == "theirs"


def test_a_password_that_travels_is_told_of(project: Project) -> None:
    told: list[str] = []
    project.set_environment(REDIS_URL="redis://ann@r.example")
    check_settings(project, told.append)
    assert told == []
    project.set_environment(REDIS_URL="redis://ann:secret@r.example")
    check_settings(project, told.append)
    (line,) = told
    assert line.startswith("REDIS_URL holds a password")
    assert "secret@" not in line


def test_development_leaves_it_alone(project: Project) -> None:
    assert project.settings.redis_url
    assert DevelopmentProject(project.root, api_port=1).settings.redis_url == ""
