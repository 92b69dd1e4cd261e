"""What the doctor finds, and what it says to do about it."""

from __future__ import annotations

import json
import socket
from pathlib import Path

import pytest

from command_line import Denzel
from denzel import doctor
from denzel.doctor import Finding, diagnose
from denzel.project import Project

NOWHERE = "unix:///nowhere/docker.sock"


def by_name(findings: list[Finding]) -> dict[str, Finding]:
    return {finding.name: finding for finding in findings}


@pytest.fixture
def no_docker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine without any program and without an engine."""
    empty = tmp_path / "bin"
    empty.mkdir()
    monkeypatch.setenv("PATH", str(empty))
    monkeypatch.setenv("DOCKER_HOST", NOWHERE)


@pytest.mark.parametrize(
    ("told", "shown"),
    [
        ("github.com/docker/buildx 0.13.1+ds1 0.13.1+ds1-3", "0.13.1"),
        ("26.1.5+dfsg1", "26.1.5"),
        ("v2.26.1-4", "2.26.1"),
        ("unknown", "unknown"),
    ],
)
def test_a_version_is_shown_without_what_surrounds_it(told: str, shown: str) -> None:
    assert doctor.plain_version(told) == shown


@pytest.mark.usefixtures("no_docker")
def test_what_is_missing_comes_with_a_remedy(tmp_path: Path) -> None:
    found = by_name(diagnose(tmp_path))
    assert not found["engine"].ok
    assert "systemctl start docker" in found["engine"].remedy
    assert not found["compose"].ok
    assert "docker-compose-plugin" in found["compose"].remedy
    assert not found["buildx"].ok
    assert "buildx" in found["buildx"].remedy
    for finding in found.values():
        assert finding.ok or finding.remedy
        assert finding.detail


@pytest.mark.usefixtures("no_docker")
def test_the_backend_the_project_was_launched_with_is_needed(project: Project) -> None:
    project.record_backend("docker")
    found = by_name(diagnose(project.root))
    assert found["engine"].needed
    assert not found["redis"].needed
    project.record_backend("local")
    found = by_name(diagnose(project.root))
    assert not found["engine"].needed
    assert found["redis"].needed


def test_a_taken_port_is_found(project: Project, unused_port: int) -> None:
    with socket.create_server(("127.0.0.1", unused_port)):
        project.set_environment(API_PORT=str(unused_port))
        found = by_name(diagnose(project.root))
    assert not found["api port"].ok
    assert str(unused_port) in found["api port"].detail
    assert "--api-port" in found["api port"].remedy


def test_settings_that_cannot_be_used_hide_nothing_else(project: Project) -> None:
    project.set_environment(API_PORT="99999")
    found = by_name(diagnose(project.root))
    assert not found["settings"].ok
    assert "API_PORT=99999 cannot be used" in found["settings"].detail
    assert found["disk"].detail
    project.env_file.unlink()
    assert ".env is missing" in by_name(diagnose(project.root))["settings"].detail


def test_the_ports_of_a_launched_project_are_its_own(project: Project) -> None:
    project.record_backend("docker")
    assert by_name(diagnose(project.root))["ports"].ok


@pytest.mark.usefixtures("no_docker")
def test_a_gpu_project_needs_the_gpu_runtime_where_it_runs_in_docker(project: Project) -> None:
    project.record_backend("docker")
    assert not by_name(diagnose(project.root))["GPU runtime"].needed
    project.set_environment(GPU="1")
    found = by_name(diagnose(project.root))["GPU runtime"]
    assert found.needed
    assert "NVIDIA Container Toolkit" in found.remedy
    for backend in ("local", None):
        project.record_backend(backend)
        assert not by_name(diagnose(project.root))["GPU runtime"].needed


@pytest.mark.parametrize("runtime", ["runc", "nvidia"])
def test_a_gpu_project_may_run_in_docker_as_soon_as_an_engine_answers(
    project: Project, monkeypatch: pytest.MonkeyPatch, runtime: str
) -> None:
    project.set_environment(GPU="1")
    info = {"ServerVersion": "26.1", "Runtimes": {runtime: {}}}
    monkeypatch.setattr(doctor, "_engine_info", lambda: info)
    found = by_name(diagnose(project.root))["GPU runtime"]
    assert (found.ok, found.needed) == (runtime == "nvidia", True)


@pytest.mark.usefixtures("no_docker")
def test_a_gpu_project_needs_a_driver_that_answers(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor, "AMD_DRIVER", tmp_path / "kfd")
    monkeypatch.setattr("sys.platform", "linux")
    assert "GPU driver" not in by_name(diagnose(project.root))
    project.set_environment(GPU="1")
    found = by_name(diagnose(project.root))["GPU driver"]
    assert (found.ok, found.needed) == (False, True)
    assert "nvidia-smi" in found.detail
    assert "driver" in found.remedy
    program = tmp_path / "bin" / "nvidia-smi"
    program.write_text("#!/bin/sh\necho '0, NVIDIA H100 80GB HBM3, 580.159.04'\n")
    program.chmod(0o755)
    found = by_name(diagnose(project.root))["GPU driver"]
    assert (found.ok, found.detail) == (True, "version 580.159.04: GPU 0 (NVIDIA H100 80GB HBM3)")


def test_too_little_disk_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "DISK_BYTES", 2**70)
    disk = by_name(diagnose(tmp_path))["disk"]
    assert disk.needed
    assert not disk.ok
    assert "docker system prune" in disk.remedy


def test_the_command_ends_with_1_when_something_needed_is_missing(
    denzel: Denzel, project: Project
) -> None:
    project.record_backend("docker")
    done = denzel("doctor", "--json", cwd=project.root, env={"DOCKER_HOST": NOWHERE})
    assert done.returncode == 1, done.stderr
    engine = next(each for each in json.loads(done.stdout) if each["name"] == "engine")
    assert engine["needed"]
    assert not engine["ok"]
    assert "No Docker engine answers" in engine["detail"]
    shown = denzel("doctor", cwd=project.root, env={"DOCKER_HOST": NOWHERE})
    assert shown.returncode == 1
    assert "FAILED  engine" in shown.stdout
