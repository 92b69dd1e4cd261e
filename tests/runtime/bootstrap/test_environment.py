"""What is installed, once, for all services; and what is said when it cannot be."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from .project import PRINT_VALUE, Project


def test_the_service_runs_with_both_requirements_installed(project: Project) -> None:
    program = ["python", "-c", "import userpart, runtimepart, shared; print(shared.VALUE)"]
    done = project.run("api", program=program)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "26.3"
    assert project.state("api") == ("STARTING...", "")
    assert project.pip_runs() == 2
    assert "userpart" in project.log()


def test_the_service_takes_the_process_over(project: Project) -> None:
    """So that signals and exit code are the service's own."""
    directory = project.environment["DENZEL_VENV"]
    show = "import os, sys; print(os.getpid(), os.environ['VIRTUAL_ENV']); sys.exit(7)"
    service = project.start("api", program=["python", "-c", show])
    assert service.process.wait(60) == 7
    assert service.output().splitlines()[-1] == f"{service.pid} {directory}"


def test_nothing_is_installed_twice(installed: Project) -> None:
    for name in ("api", "denzel", "monitor"):
        assert installed.run(name).stdout == "running with 1.0\n"
        assert installed.state(name)[0] == "STARTING..."
    assert installed.pip_runs() == 0


def test_changed_requirements_are_installed(installed: Project) -> None:
    installed.require("userpart==2.0")
    assert installed.run("api").stdout.splitlines()[-1] == "running with 2.0"
    assert installed.run("denzel").stdout == "running with 2.0\n"
    assert installed.pip_runs() == 1


def test_changed_requirements_of_the_runtime_are_installed(installed: Project) -> None:
    runtime = installed.directory / "app/runtime/requirements.txt"
    runtime.write_text(runtime.read_text().replace("runtimepart==1.0", "shared==25.0"))
    program = ["python", "-c", "import shared; print(shared.VALUE)"]
    assert installed.run("api", program=program).stdout.splitlines()[-1] == "25.0"


def test_services_started_together_install_once_and_the_rest_wait(project: Project) -> None:
    with project.locked():
        services = [project.start(n, program=PRINT_VALUE) for n in ("api", "denzel", "monitor")]
        for service in services:
            project.wait_for_state(service, "PIP INSTALLING...")
        assert project.pip_runs() == 0
    for service in services:
        assert service.process.wait(60) == 0, service.output()
        assert "running with 1.0" in service.output()
    assert project.pip_runs() == 2


def test_a_service_killed_while_it_installs_blocks_nobody(project: Project) -> None:
    with project.locked():
        victim = project.start("api", program=PRINT_VALUE)
        project.wait_for_state(victim, "PIP INSTALLING...")
        victim.kill()
    assert project.run("api").stdout.splitlines()[-1] == "running with 1.0"


def test_a_virtual_environment_is_made_when_there_is_none(project: Project) -> None:
    shutil.rmtree(project.environment["DENZEL_VENV"])
    assert project.run("api").stdout.splitlines()[-1] == "running with 1.0"


def test_an_older_pythons_virtual_environment_is_made_anew(project: Project) -> None:
    libraries = Path(project.environment["DENZEL_VENV"]) / "lib"
    (library,) = libraries.iterdir()
    library.rename(libraries / "python3.6")
    assert project.run("api").stdout.splitlines()[-1] == "running with 1.0"
    assert not (libraries / "python3.6").exists()


@pytest.mark.parametrize("text", ["no JSON", "[]", '{"installed": 3}'])
def test_a_damaged_stamp_is_as_good_as_none(project: Project, text: str) -> None:
    stamp = Path(project.environment["DENZEL_VENV"]) / "denzel-requirements.json"
    stamp.write_text(text, encoding="utf-8")
    assert project.run("api").stdout.splitlines()[-1] == "running with 1.0"


def test_no_requirements_file_of_the_users_is_fine(project: Project) -> None:
    (project.directory / "requirements.txt").unlink()
    program = ["python", "-c", "import runtimepart; print('fine')"]
    assert project.run("api", program=program).stdout.splitlines()[-1] == "fine"


# Failure


def test_a_failure_is_an_error_that_names_its_log_and_waits(project: Project) -> None:
    project.require("nosuchpackage")
    service = project.start("api", program=PRINT_VALUE)
    detail = project.wait_for_state(service, "ERROR")
    assert "nosuchpackage" in detail
    assert "logs/requirements.log" in detail
    assert "\n" not in detail
    assert "nosuchpackage" in project.log()
    assert service.is_running()
    service.process.terminate()
    assert service.process.wait(5) == 1
    assert "running with" not in service.output()


def test_services_started_together_fail_once_with_the_same_reason(project: Project) -> None:
    project.require("nosuchpackage")
    services = [project.start(name, program=PRINT_VALUE) for name in ("api", "denzel", "monitor")]
    details = {project.wait_for_state(service, "ERROR") for service in services}
    assert len(details) == 1
    assert project.pip_runs() == 2
    for service in services:
        service.stop()


def test_once_ends_at_the_failure(project: Project) -> None:
    project.require("nosuchpackage")
    done = project.run("api", "--once")
    assert done.returncode == 1
    assert "nosuchpackage" in done.stderr.splitlines()[-1]


def test_mended_requirements_are_installed_at_the_next_start(project: Project) -> None:
    project.require("nosuchpackage")
    project.run("api", "--once")
    project.require("userpart==2.0")
    assert project.run("api").stdout.splitlines()[-1] == "running with 2.0"


@pytest.mark.parametrize("wanted", ["shared<25", "oldfashioned"])
def test_a_conflict_names_both_sides_and_changes_nothing(installed: Project, wanted: str) -> None:
    installed.require("userpart==2.0", wanted)
    done = installed.run("api", "--once")
    assert done.returncode == 1
    reason = done.stderr.splitlines()[-1]
    assert "conflict" in reason
    assert "runtimepart 1.0 depends on shared==26.3" in reason
    assert "shared<25" in reason
    assert reason.endswith("(see logs/requirements.log)")
    python = Path(installed.environment["DENZEL_VENV"]) / "bin" / "python"
    show = [str(python), "-c", "import userpart, shared; print(userpart.VALUE, shared.VALUE)"]
    after = subprocess.run(show, capture_output=True, text=True, timeout=30)
    assert after.stdout == "1.0 26.3\n"


def test_requirements_that_pip_cannot_read_are_an_error(project: Project) -> None:
    project.require("=== not a requirement ===")
    done = project.run("api", "--once")
    assert done.returncode == 1
    assert "pip install failed" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_directory_that_cannot_be_written_is_an_error(project: Project) -> None:
    """As a full disk is."""
    directory = Path(project.environment["DENZEL_VENV"])
    shutil.rmtree(directory)
    directory.write_text("in the way", encoding="utf-8")
    done = project.run("api", "--once")
    assert done.returncode == 1
    assert str(directory) in done.stderr
    assert "Traceback" not in done.stderr
