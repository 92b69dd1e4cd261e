"""What an entrypoint runs, and what the command line asks for beside running services."""

from __future__ import annotations

from pathlib import Path

import pytest

from ..redis_servers import LOOPBACK, RedisServer, running
from ..wheelhouse import make_wheel
from .project import Project


def test_install_pip_upgrades_though_nothing_changed(project: Project, wheels: Path) -> None:
    project.require("userpart")
    project.run("api")
    newer = make_wheel(wheels, "userpart", "3.0")
    try:
        assert project.run("denzel").stdout == "running with 2.0\n"
        done = project.run("api", "--install", "pip", program=())
        assert done.returncode == 0, done.stderr
        assert project.run("denzel").stdout == "running with 3.0\n"
    finally:
        newer.unlink()


def test_install_check_installs_only_what_changed(project: Project) -> None:
    assert project.run("api", "--install", "check", program=()).returncode == 0
    assert project.run("api", "--install", "check", program=()).returncode == 0
    assert project.pip_runs() == 2


def test_install_check_tries_again_what_failed_a_moment_ago(project: Project) -> None:
    project.require("nosuchpackage")
    for _ in range(2):
        failed = project.run("api", "--install", "check", program=())
        assert failed.returncode == 1
        assert "nosuchpackage" in failed.stderr.splitlines()[-1]
    assert project.pip_runs() == 3


@pytest.mark.parametrize("wanted", ["userpart==2.0", "nosuchpackage"])
def test_installing_beside_a_running_service_leaves_its_state_as_it_was(
    project: Project, wanted: str
) -> None:
    run = Path(project.environment["DENZEL_RUN_DIR"])
    run.mkdir(parents=True)
    (run / "api.json").write_text('{"state": "UP", "detail": ""}', encoding="utf-8")
    project.require(wanted)
    project.run("api", "--install", "pip", program=())
    assert project.state("api") == ("UP", "")


def test_installing_for_a_service_that_never_ran_leaves_no_state(project: Project) -> None:
    project.run("api", "--install", "check", program=())
    assert project.state("api") == ("", "")


def test_a_setting_that_cannot_be_used_is_shown_as_an_error(project: Project) -> None:
    project.environment["MAX_QUEUE"] = "many"
    once = project.run("api", "--once")
    assert once.returncode == 1
    assert once.stderr.startswith("MAX_QUEUE=many cannot be used: it takes ")
    assert "Traceback" not in once.stderr
    assert "correct it in .env" in project.wait_for_state(project.start("api"), "ERROR")


def test_a_redis_that_cannot_serve_is_shown_as_an_error_before_anything_else(
    project: Project, tmp_path: Path
) -> None:
    """One that is away is waited for by the service itself."""
    server = RedisServer(tmp_path / "theirs", options=["requirepass secret"])
    with running(server):
        project.environment["REDIS_URL"] = f"redis://{LOOPBACK}:{server.port}/1"
        asked = project.run("api", "--check-redis", program=())
        assert (asked.returncode, "Traceback" in asked.stderr) == (1, False)
        detail = project.wait_for_state(project.start("api"), "ERROR")
        assert detail.endswith("NOAUTH Authentication required: set REDIS_PASSWORD in .env.secrets")
        assert project.pip_runs() == 0
        assert project.run("check", "--once").returncode == 0  # which asks no Redis
        project.environment["REDIS_PASSWORD"] = "secret"
        asked = project.run("api", "--check-redis", program=())
        assert (asked.returncode, "no append-only file" in asked.stdout) == (0, True)
    project.environment["MAX_QUEUE"] = "many"
    asked = project.run("api", "--check-redis", program=())
    assert (asked.returncode, "Traceback" in asked.stderr) == (1, False)
    assert asked.stderr.startswith("MAX_QUEUE=many cannot be used")
    del project.environment["MAX_QUEUE"]
    assert project.run("api").returncode == 0
