"""What an entrypoint does before its service runs, with real pip and wheels made here."""

from __future__ import annotations

import fcntl
import importlib.util
import json
import shutil
import subprocess
import sys
import time
import venv
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from app.runtime.bootstrap import prepare

from .deployment import Service, bare_environment, copy_template, wait_until
from .wheelhouse import make_wheel

PRINT_VALUE = ("python", "-c", "import userpart; print('running with', userpart.VALUE)")


@dataclass
class Project:
    """A project whose services are prepared one by one."""

    directory: Path
    environment: dict[str, str]
    services: list[Service] = field(default_factory=list)

    def start(self, service: str, *arguments: str, program: Sequence[str] = ()) -> Service:
        """Start a service's preparation; it becomes ``program``."""
        command = [sys.executable, "-m", "app.runtime.bootstrap", *arguments, service]
        started = Service(service, [*command, *program], self.directory, self.environment)
        self.services.append(started)
        return started

    def run(
        self, service: str, *arguments: str, program: Sequence[str] = PRINT_VALUE
    ) -> subprocess.CompletedProcess[str]:
        """Prepare a service and wait for the end of its program."""
        command = [sys.executable, "-m", "app.runtime.bootstrap", *arguments, service, *program]
        return subprocess.run(
            command, cwd=self.directory, env=self.environment, capture_output=True, text=True,
            timeout=60,
        )  # fmt: skip

    def state(self, service: str) -> tuple[str, str]:
        """Return a service's state and its detail."""
        path = Path(self.environment["DENZEL_RUN_DIR"]) / f"{service}.json"
        if not path.exists():
            return "", ""
        record = json.loads(path.read_text(encoding="utf-8"))
        return record["state"], record["detail"]

    def wait_for_state(self, service: Service, state: str) -> str:
        """Wait until a service is in a state; return the detail."""
        wait_until(
            lambda: self.state(service.name)[0] == state,
            30,
            what=f"{service.name} shows {state}",
            evidence=service.output,
        )
        return self.state(service.name)[1]

    def require(self, *lines: str) -> None:
        """Write requirements.txt."""
        (self.directory / "requirements.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")

    def command(self, *lines: str) -> None:
        """Write requirements.sh."""
        text = "\n".join(["#!/usr/bin/env bash", *lines, ""])
        (self.directory / "requirements.sh").write_text(text, encoding="utf-8")

    def pip_runs(self) -> int:
        """Return how often pip was run: it keeps a log when it is told to."""
        log = Path(self.environment["PIP_LOG"])
        text = log.read_text(encoding="utf-8") if log.exists() else ""
        return text.count("Created build tracker")

    def log(self, name: str = "requirements.log") -> str:
        """Return the log that a failure points to."""
        return (self.directory / "logs" / name).read_text(encoding="utf-8")

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the lock that services install under."""
        path = Path(self.environment["DENZEL_VENV"])
        path.mkdir(parents=True, exist_ok=True)
        with (path / ".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


@pytest.fixture(scope="module")
def blank_venv(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a virtual environment that holds pip alone, and that by a link, so as to be quick."""
    directory = tmp_path_factory.mktemp("blank") / "venv"
    venv.create(directory, with_pip=False, symlinks=True)
    specification = importlib.util.find_spec("pip")
    assert specification is not None and specification.origin is not None
    (packages,) = directory.glob("lib/python*/site-packages")
    (packages / "pip").symlink_to(Path(specification.origin).parent)
    return directory


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a directory of wheels that need one another as celery, kombu and users' do."""
    directory = tmp_path_factory.mktemp("wheels")
    make_wheel(directory, "runtimepart", "1.0", ["shared==26.3"])
    for version in ("24.0", "25.0", "26.3"):
        make_wheel(directory, "shared", version)
    make_wheel(directory, "userpart", "1.0")
    make_wheel(directory, "userpart", "2.0")
    make_wheel(directory, "oldfashioned", "1.0", ["shared<25"])
    return directory


def make_project(directory: Path, wheels: Path, packages: Path) -> Project:
    """Return a project that wants userpart 1.0, with a copy of a virtual environment."""
    copy_template(directory, None)
    runtime = f"--no-index\n--find-links {wheels}\nruntimepart==1.0\n"
    (directory / "app/runtime/requirements.txt").write_text(runtime, encoding="utf-8")
    shutil.copytree(packages, directory / ".denzel" / "venv", symlinks=True)
    environment = {
        **bare_environment(),
        "DENZEL_VENV": str(directory / ".denzel" / "venv"),
        "DENZEL_RUN_DIR": str(directory / ".denzel" / "run"),
        "PIP_LOG": str(directory / "pip.log"),
    }
    project = Project(directory, environment)
    project.require("userpart==1.0")
    return project


@pytest.fixture(scope="module")
def installed_venv(
    tmp_path_factory: pytest.TempPathFactory, wheels: Path, blank_venv: Path
) -> Path:
    """Return the virtual environment of a project whose requirements are installed."""
    project = make_project(tmp_path_factory.mktemp("installed"), wheels, blank_venv)
    assert project.run("api").stdout.splitlines()[-1] == "running with 1.0"
    return Path(project.environment["DENZEL_VENV"])


@pytest.fixture
def project(tmp_path: Path, wheels: Path, blank_venv: Path) -> Iterator[Project]:
    """Yield a project with nothing installed yet."""
    project = make_project(tmp_path, wheels, blank_venv)
    yield project
    for service in project.services:
        service.kill()


@pytest.fixture
def installed(tmp_path: Path, wheels: Path, installed_venv: Path) -> Iterator[Project]:
    """Yield a project whose requirements are installed."""
    project = make_project(tmp_path, wheels, installed_venv)
    yield project
    for service in project.services:
        service.kill()


# Packages


def test_the_service_runs_with_both_requirements_installed(project: Project) -> None:
    program = ["python", "-c", "import userpart, runtimepart, shared; print(shared.VALUE)"]
    done = project.run("api", program=program)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "26.3"
    assert project.state("api") == ("STARTING...", "")
    assert project.pip_runs() == 1
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
    assert project.pip_runs() == 1


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
    assert project.pip_runs() == 1
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


# On request: denzel updatepipreqs and denzel start


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
    assert project.pip_runs() == 1


def test_install_check_tries_again_what_failed_a_moment_ago(project: Project) -> None:
    project.require("nosuchpackage")
    for _ in range(2):
        failed = project.run("api", "--install", "check", program=())
        assert failed.returncode == 1
        assert "nosuchpackage" in failed.stderr.splitlines()[-1]
    assert project.pip_runs() == 2


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


# requirements.sh


@pytest.fixture
def contained(installed: Project) -> Project:
    """Return the project as it stands in a container."""
    installed.environment["DENZEL_OS_COMMANDS"] = str(installed.directory / "os-commands")
    return installed


def test_on_a_machine_that_is_no_container_no_command_is_run(installed: Project) -> None:
    installed.command("touch was-run")
    installed.run("api", "--os-commands")
    installed.run("api", "--install", "os", program=())
    assert not (installed.directory / "was-run").exists()


def test_the_monitor_runs_no_commands(contained: Project) -> None:
    contained.command("touch was-run")
    contained.run("monitor")
    assert not (contained.directory / "was-run").exists()


def test_commands_run_once_with_bash_in_the_projects_directory(contained: Project) -> None:
    contained.command("[[ -n $BASH_VERSION ]] && pwd >> where", "echo done with it")
    for _ in range(2):
        done = contained.run("api", "--os-commands")
        assert done.returncode == 0, done.stderr
    assert (contained.directory / "where").read_text() == f"{contained.directory}\n"
    assert "done with it" in contained.log("requirements-api.log")
    assert contained.state("api") == ("STARTING...", "")


def test_commands_run_again_when_they_changed_or_are_forced(contained: Project) -> None:
    contained.command("echo one >> runs")
    contained.run("api", "--os-commands")
    contained.command("echo two >> runs")
    contained.run("api", "--os-commands")
    contained.run("api", "--install", "os", program=())
    assert (contained.directory / "runs").read_text() == "one\ntwo\ntwo\n"


def test_comments_alone_are_no_commands(contained: Project) -> None:
    contained.command("# apt-get update", "", "   # nothing")
    contained.run("api", "--os-commands")
    assert not (contained.directory / "logs" / "requirements-api.log").exists()


def test_only_the_last_commands_failure_counts(contained: Project) -> None:
    contained.command("false", "echo went on")
    assert contained.run("api", "--os-commands").returncode == 0
    assert "went on" in contained.log("requirements-api.log")


@pytest.mark.parametrize("lines", [["set -e", "(exit 3)", "true"], ["exit 3"], ["if"]])
def test_commands_that_fail_are_an_error_that_names_the_log(
    contained: Project, lines: list[str]
) -> None:
    contained.command("echo before", *lines)
    service = contained.start("api", "--os-commands", program=PRINT_VALUE)
    detail = contained.wait_for_state(service, "ERROR")
    assert "requirements.sh" in detail
    assert "logs/requirements-api.log" in detail
    service.stop()
    assert "running with" not in service.output()


def test_commands_cannot_ask_anybody(contained: Project) -> None:
    contained.command("read -r answer || echo nobody there")
    started = time.monotonic()
    assert contained.run("api", "--os-commands").returncode == 0
    assert time.monotonic() - started < 20
    assert "nobody there" in contained.log("requirements-api.log")


def test_the_state_says_os_commands_while_they_run(contained: Project) -> None:
    contained.command("until [ -e go-on ]; do sleep 0.05; done")
    service = contained.start("api", "--os-commands", program=PRINT_VALUE)
    contained.wait_for_state(service, "OS COMMANDS...")
    (contained.directory / "go-on").touch()
    assert service.process.wait(30) == 0, service.output()


def test_a_package_may_need_what_the_commands_bring(contained: Project, wheels: Path) -> None:
    """It fails at first; then the commands run, and it is tried again, for everybody."""
    make_wheel(contained.directory / "elsewhere", "rare", "1.0")
    contained.require("userpart==1.0", "--find-links brought", "rare")
    contained.command("mkdir -p brought && cp elsewhere/*.whl brought/")
    monitor = contained.start("monitor", program=PRINT_VALUE)
    contained.wait_for_state(monitor, "PIP INSTALLING...")
    api = contained.start("api", "--os-commands", program=PRINT_VALUE)
    for service in (api, monitor):
        assert service.process.wait(60) == 0, service.output()
        assert "running with 1.0" in service.output()


def test_commands_that_do_not_help_leave_the_packages_failure(contained: Project) -> None:
    contained.require("nosuchpackage")
    contained.command("true")
    for name, arguments in (("api", ["--os-commands"]), ("monitor", [])):
        service = contained.start(name, *arguments, program=PRINT_VALUE)
        assert "nosuchpackage" in contained.wait_for_state(service, "ERROR")
        service.stop()


# What pip's words mean


def test_a_conflict_in_pips_words_is_put_in_one_line() -> None:
    output = """
Collecting celery[redis]==5.7.0
ERROR: Cannot install -r app/runtime/requirements.txt (line 3) and packaging<25 because these \
package versions have conflicting dependencies.

The conflict is caused by:
    The user requested packaging<25
    kombu[redis] 5.7.0 depends on packaging==26.3
    The user requested packaging<25
    kombu[redis] 5.7.0 depends on packaging==26.3

Additionally, some packages in these conflicts have no matching distributions available
To fix this you could try to:
1. loosen the range of package versions you've specified
ERROR: ResolutionImpossible: for help visit https://pip.pypa.io/
""".splitlines()
    assert prepare.explain_pip(output).endswith(
        "or with itself: "
        "The user requested packaging<25; kombu[redis] 5.7.0 depends on packaging==26.3"
    )


def test_an_older_pips_conflict_is_told_without_the_address_of_a_package() -> None:
    output = """
ERROR: Cannot install celery 5.7.0 (from a) and celery==5.4.0 because of conflicting dependencies.

The conflict is caused by:
    The user requested celery==5.4.0
    celery[redis] 5.7.0 (from https://host.example/c.whl (from https://host.example/s/) (x:>=3))

To fix this you could try to:
""".splitlines()
    assert prepare.explain_pip(output).endswith(
        "or with itself: The user requested celery==5.4.0; celery[redis] 5.7.0"
    )


@pytest.mark.parametrize(
    ("output", "reason"),
    [
        (["ERROR: first", "ERROR: No matching distribution found for x"],
         "pip install failed: No matching distribution found for x"),
        (["error: subprocess-exited-with-error", "× Preparing metadata did not run successfully.",
          "note: This error originates from a subprocess, and is likely not a problem with pip."],
         "pip install failed: Preparing metadata did not run successfully."),
        (["something else"], "pip install failed: something else"),
        ([], "pip install failed: no output"),
        (["", "  "], "pip install failed: no output"),
    ],
)  # fmt: skip
def test_any_other_failure_is_pips_last_error(output: list[str], reason: str) -> None:
    assert prepare.explain_pip(output) == reason
