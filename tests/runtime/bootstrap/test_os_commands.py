"""requirements.sh: when it runs, where, and what its failure means."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from ..wheelhouse import make_wheel
from .project import PRINT_VALUE, Project


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
