"""Where local processes run and what they are told: odd paths and settings, copies, moves."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from backends.contract import wait_until_ready
from backends.stand_in_project import (
    SOON,
    Launched,
    processes,
    stand_in_project,
)
from denzel.backends.local.backend import LocalBackend
from denzel.backends.local.layout import Layout
from denzel.errors import EngineError, UsageError
from denzel.project import Project


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return stand_in_project(tmp_path)


@pytest.mark.parametrize(
    "directory",
    ["with space", "100% %(here)s", 'it\'s "quoted"; #1', "größe-模型", "deep/" + "x" * 120],
)
def test_odd_paths(tmp_path: Path, directory: str) -> None:
    parent = tmp_path / directory
    parent.mkdir(parents=True)
    project = stand_in_project(parent)
    with Launched(project) as backend:
        wait_until_ready(backend, SOON)
        sockets = Layout.of(project).sockets
        assert sockets.stat().st_mode & 0o777 == 0o700
        url = backend.run("api", "app.contract_probe", "environment", "OWN_REDIS_URL")
        assert url == f"unix://{sockets}/redis.sock"
        assert backend.run("api", "app.contract_probe", "redis", "PING") == "+PONG\r\n"
        assert "api" in next(backend.logs(["api"], follow=False, tail=1)).text
    assert not sockets.exists()


@pytest.mark.parametrize("value", ["50% %(ENV_HOME)s", "a \"b\" 'c'; # d", "größe", "a\\nb=HOME"])
def test_odd_values_reach_the_services(project: Project, value: str) -> None:
    quoted = value.replace("\\", "\\\\").replace("'", "\\'")
    with project.env_file.open("a") as file:
        file.write(f"\nSPOKEN='{quoted}'\n")
    project.forget()
    with Launched(project) as backend:
        wait_until_ready(backend, SOON)
        said = next(backend.logs(["api"], follow=False, tail=1)).text
        assert said.endswith(f"says: {value!r}")
        assert backend.run("api", "app.contract_probe", "environment", "SPOKEN") == value


def test_a_python_path_in_the_settings_reaches_the_services_alone(project: Project) -> None:
    (project.root / "lib").mkdir()
    for name in ("logging", "supervisor"):  # supervisord would not start with these
        (project.root / f"{name}.py").write_text("raise SystemExit('not this one')")
        (project.root / "lib" / f"{name}.py").write_text("raise SystemExit('nor this')")
    (project.root / "lib" / "shared.py").write_text("print('shared')")
    with project.env_file.open("a") as file:
        file.write("\nPYTHONPATH=lib\n")
    project.forget()
    with Launched(project) as backend:
        wait_until_ready(backend, SOON)
        assert backend.run("api", "app.contract_probe", "environment", "PYTHONPATH") == "lib"
        assert backend.run("api", "shared") == "shared\n"


def test_only_env_file_sets_settings(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("API_PORT", "1")
    monkeypatch.setenv("RESULT_TTL", "77")
    lines = project.env_file.read_text().splitlines()
    project.env_file.write_text("\n".join(x for x in lines if not x.startswith("RESULT_TTL")))
    project.forget()
    with Launched(project) as backend:
        wait_until_ready(backend, SOON)
        port = backend.run("api", "app.contract_probe", "environment", "API_PORT")
        assert port == str(project.settings.api_port)
        assert backend.run("api", "app.contract_probe", "environment", "RESULT_TTL") == ""
        assert backend.run("api", "app.contract_probe", "environment", "API_HOST") == "127.0.0.1"


def test_a_restart_with_unusable_settings_leaves_the_services_alone(project: Project) -> None:
    with Launched(project) as backend:
        wait_until_ready(backend, SOON)
        before = processes(project)
        settings = project.env_file.read_text()
        project.env_file.write_text(f"{settings}\nGPU=perhaps\n")
        with pytest.raises(UsageError, match="GPU=perhaps"):
            backend.restart()
        # One that was being started when it was looked at first may have come since.
        assert set(before) <= set(processes(project))
        project.env_file.write_text(settings)
        project.forget()


def test_a_copy_is_another_deployment(project: Project, tmp_path: Path) -> None:
    with Launched(project) as backend:
        wait_until_ready(backend, SOON)
        ignored = shutil.ignore_patterns("*.sock")
        shutil.copytree(project.root, tmp_path / "copy", symlinks=True, ignore=ignored)
        copy = LocalBackend(Project(tmp_path / "copy"), lambda _: None)
        assert not copy.launched()
        assert not copy.running()
        copy.down(purge=True)
        assert backend.status().ready


def test_a_project_moved_while_it_runs_can_be_shut_down(tmp_path: Path) -> None:
    project = stand_in_project(tmp_path)
    with Launched(project) as backend:
        wait_until_ready(backend, SOON)
        project.root.rename(tmp_path / "elsewhere")
        moved = Project(tmp_path / "elsewhere")
        assert LocalBackend(moved, lambda _: None).launched()
        LocalBackend(moved, lambda _: None).down(purge=False)
        assert processes(moved) == []


def test_packages_of_a_moved_project_are_installed_anew(tmp_path: Path) -> None:
    project = stand_in_project(tmp_path)
    with Launched(project) as backend:
        backend.stop()
        backend.start()
        assert (project.private / "venv").exists()
        backend.stop()
        project.root.rename(tmp_path / "elsewhere")
        moved = Project(tmp_path / "elsewhere")
        reported: list[str] = []
        LocalBackend(moved, reported.append).start()
        assert "moved or copied" in reported[0]
        assert not (moved.private / "venv").exists()
        LocalBackend(moved, reported.append).down(purge=True)


def test_limits_of_containers_are_said_to_be_none_here(project: Project) -> None:
    project.set_environment(WORKER_MEMORY="1gb", API_CPUS="2")
    launched = Launched(project)
    with launched:
        assert launched.reported[0].startswith("API_CPUS, WORKER_MEMORY limit containers")


def test_a_project_that_cannot_be_written_to_is_an_error(tmp_path: Path) -> None:
    project = stand_in_project(tmp_path)
    project.private.write_text("a file where the directory should be")
    with pytest.raises(EngineError, match=r"\.denzel is no directory"):
        LocalBackend(project, lambda _: None).up()
