"""What is installed, once, for all services; and what is said when it cannot be."""

from __future__ import annotations

import hashlib
import shutil
import signal
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from ..polling import wait_until
from ..wheelhouse import make_wheel
from .project import PRINT_VALUE, Project


def test_the_service_runs_with_both_requirements_installed(project: Project) -> None:
    program = ["python", "-c", "import userpart, runtimepart, shared; print(shared.VALUE)"]
    done = project.run("api", program=program)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "26.3"
    assert project.state("api") == ("STARTING...", "")
    assert project.pip_runs() == 2
    assert "userpart" in project.log()


def test_a_service_ends_as_its_program_does(project: Project) -> None:
    directory = project.environment["DENZEL_VENV"]
    show = "import os, sys; print(os.environ['VIRTUAL_ENV']); sys.exit(7)"
    service = project.start("api", program=["python", "-c", show])
    assert service.process.wait(60) == 7
    assert service.output().splitlines()[-1] == directory
    die = "import os; os.kill(os.getpid(), 9)"
    assert project.start("api", program=["python", "-c", die]).process.wait(60) == -9


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


# What a requirements file may say


def test_a_line_added_to_a_file_that_is_named_is_installed(project: Project, wheels: Path) -> None:
    (project.directory / "parts").mkdir()
    more = project.directory / "parts" / "more.txt"
    more.write_text("# nothing yet\n", encoding="utf-8")
    project.require("userpart", "-r parts/more.txt", "-c parts/limits.txt")
    limits = project.directory / "parts" / "limits.txt"
    limits.write_text("userpart<2\n", encoding="utf-8")
    assert project.run("api").stdout.splitlines()[-1] == "running with 1.0"
    make_wheel(project.directory / "wheels", "third", "1.0")
    more.write_text("--find-links wheels\nthird\n", encoding="utf-8")
    program = ["python", "-c", "import third; print(third.VALUE)"]
    assert project.run("api", program=program).stdout.splitlines()[-1] == "1.0"
    limits.write_text("userpart>=2\n", encoding="utf-8")
    assert project.run("api").stdout.splitlines()[-1] == "running with 2.0"


@pytest.fixture
def apart(project: Project, wheels: Path) -> Project:
    """Return a project whose own packages are not where the runtime's are."""
    for name in ("PIP_NO_INDEX", "PIP_FIND_LINKS"):
        del project.environment[name]
    project.environment["PIP_CONFIG_FILE"] = "/dev/null"
    runtime = project.directory / "app/runtime/requirements.txt"
    runtime.write_text(f"--no-index\n--find-links {wheels}\nruntimepart==1.0\n", encoding="utf-8")
    return project


IMPORT_BOTH = ("python", "-c", "import userpart, runtimepart; print(userpart.VALUE)")


def test_no_index_and_links_concern_the_users_packages(apart: Project) -> None:
    make_wheel(apart.directory / "wheels", "userpart", "7.0")
    apart.require("--no-index", "-f ./wheels", "userpart")
    done = apart.run("api", "--once", program=IMPORT_BOTH)
    assert done.stdout.splitlines()[-1] == "7.0", done.stderr


def test_an_index_concerns_the_users_packages(apart: Project) -> None:
    wheel = make_wheel(apart.directory / "index" / "userpart", "userpart", "7.0")
    page = f'<a href="{wheel.name}">{wheel.name}</a>'
    (wheel.parent / "index.html").write_text(page, encoding="utf-8")
    apart.require(f"--index-url {(apart.directory / 'index').as_uri()}", "userpart")
    done = apart.run("api", "--once", program=IMPORT_BOTH)
    assert done.stdout.splitlines()[-1] == "7.0", done.stderr


def test_hashes_concern_the_users_packages(apart: Project) -> None:
    wheel = make_wheel(apart.directory / "wheels", "userpart", "7.0")
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    lines = ["--no-index", "-f ./wheels"]
    apart.require(*lines, "userpart==7.0 \\", f"    --hash=sha256:{digest}")
    done = apart.run("api", "--once", program=IMPORT_BOTH)
    assert done.stdout.splitlines()[-1] == "7.0", done.stderr
    apart.require(*lines, f"userpart==7.0 --hash=sha256:{'0' * 64}")
    shutil.rmtree(apart.environment["DENZEL_VENV"])
    assert "DO NOT MATCH THE HASHES" in apart.run("api", "--once").stderr.upper()


def test_a_package_without_a_wheel_for_this_python_is_said_to_have_others(
    project: Project, wheels: Path
) -> None:
    other = 9 if sys.version_info.minor != 9 else 10
    machine = sysconfig.get_platform().replace("linux", "manylinux_2_17").replace("-", "_")
    wheel = make_wheel(project.directory / "wheels", "wheely", "1.0")
    wheel.rename(wheel.with_name(f"wheely-1.0-cp3{other}-cp3{other}-{machine}.whl"))
    project.require("--find-links wheels", "wheely==1.0")
    reason = project.run("api", "--once").stderr.splitlines()[-1]
    assert "No matching distribution found for wheely==1.0" in reason
    assert f"wheely==1.0 has wheels for Python 3.{other}, and this is Python 3." in reason


# Killed in between


def test_what_is_killed_while_it_installs_is_made_anew(project: Project) -> None:
    shutil.rmtree(project.environment["DENZEL_VENV"])  # so that there is something to do
    mark = Path(project.environment["DENZEL_VENV"]) / ".changing"
    victim = project.start("api", program=PRINT_VALUE)
    wait_until(mark.exists, 30, what="an installation begins", evidence=victim.output)
    victim.kill()
    # Its children are in a session of their own; they keep the lock while they live.
    assert mark.exists()
    done = project.run("api")
    assert done.stdout.splitlines()[-1] == "running with 1.0", done.stderr
    assert not mark.exists()


def test_a_service_told_to_end_ends_what_it_runs(project: Project) -> None:
    (project.directory / "requirements.txt").unlink()
    project.environment["DENZEL_OS_COMMANDS"] = str(project.directory / "os-commands")
    project.command("touch began", "sleep 1000")
    service = project.start("api", "--os-commands", program=["true"])
    began = project.directory / "began"
    wait_until(began.exists, 60, what="commands run", evidence=service.output)
    service.process.terminate()
    assert service.process.wait(30) == 128 + signal.SIGTERM
    assert "Traceback" not in service.output()


@pytest.mark.parametrize("damage", ["no pip", "half a package", "no python"])
def test_half_an_environment_is_made_anew(installed: Project, damage: str, wheels: Path) -> None:
    venv_directory = Path(installed.environment["DENZEL_VENV"])
    (packages,) = venv_directory.glob("lib/python*/site-packages")
    if damage == "no pip":
        (packages / "pip").unlink()
        installed.require("userpart==2.0")
    elif damage == "no python":
        (venv_directory / "bin" / "python").unlink()
        installed.require("userpart==2.0")
    else:
        (venv_directory / ".changing").touch()
        (packages / "userpart.py").unlink()
        installed.require("userpart==1.0")
    done = installed.run("api")
    assert done.stdout.splitlines()[-1].startswith("running with"), done.stderr


# requirements.lock


def lock_of(project: Project) -> list[str]:
    text = (project.directory / "requirements.lock").read_text(encoding="utf-8")
    return [line for line in text.splitlines() if not line.startswith("#")]


def forget_packages(project: Project, blank: Path) -> None:
    """Take the project to another machine."""
    shutil.rmtree(project.environment["DENZEL_VENV"])
    shutil.copytree(blank, project.environment["DENZEL_VENV"], symlinks=True)


def test_what_was_installed_is_installed_again(
    project: Project, wheels: Path, blank_venv: Path
) -> None:
    project.require("userpart")
    project.run("api")
    assert lock_of(project) == ["userpart==2.0"]
    newer = make_wheel(wheels, "userpart", "3.0")
    try:
        forget_packages(project, blank_venv)
        assert project.run("api").stdout.splitlines()[-1] == "running with 2.0"
        # Other requirements are resolved anew.
        project.require("userpart>1")
        forget_packages(project, blank_venv)
        assert project.run("api").stdout.splitlines()[-1] == "running with 3.0"
        assert lock_of(project) == ["userpart==3.0"]
    finally:
        newer.unlink()


def test_what_is_there_already_is_written_down_too(installed: Project) -> None:
    make_wheel(installed.directory / "wheels", "third", "1.0")
    installed.require("userpart==1.0", "--find-links wheels", "third")
    installed.run("api")
    # But not what denzel pins: runtimepart, and shared, which that needs.
    assert lock_of(installed) == ["third==1.0", "userpart==1.0"]


def test_an_upgrade_writes_the_newer_versions_down(project: Project, wheels: Path) -> None:
    project.require("userpart")
    project.run("api")
    newer = make_wheel(wheels, "userpart", "3.0")
    try:
        assert project.run("api", "--install", "pip", program=()).returncode == 0
        assert lock_of(project) == ["userpart==3.0"]
        runs = project.pip_runs()
        assert project.run("api").stdout == "running with 3.0\n"
        assert project.pip_runs() == runs
    finally:
        newer.unlink()


def test_a_lock_from_another_machine_is_neither_used_nor_replaced(
    project: Project, blank_venv: Path
) -> None:
    project.require("userpart")
    project.run("api")
    lock = project.directory / "requirements.lock"
    elsewhere = lock.read_text(encoding="utf-8").replace("For Python 3.", "For Python 2.")
    lock.write_text(elsewhere.replace("userpart==2.0", "userpart==1.0"), encoding="utf-8")
    before = lock.read_bytes()
    forget_packages(project, blank_venv)
    assert project.run("api").stdout.splitlines()[-1] == "running with 2.0"
    assert lock.read_bytes() == before


def test_a_lock_that_does_not_fit_any_more_is_named(
    project: Project, wheels: Path, blank_venv: Path
) -> None:
    project.require("userpart")
    project.run("api")
    lock = project.directory / "requirements.lock"
    lock.write_text(lock.read_text(encoding="utf-8").replace("==2.0", "==2.5"), encoding="utf-8")
    forget_packages(project, blank_venv)
    assert "requirements.lock" in project.run("api", "--once").stderr


def test_without_requirements_there_is_no_lock(project: Project) -> None:
    project.require("# nothing")
    project.run("api", program=["true"])
    assert not (project.directory / "requirements.lock").exists()
