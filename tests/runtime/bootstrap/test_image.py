"""Services in an image that ``denzel build`` made: nothing is installed, everything is given."""

from __future__ import annotations

from pathlib import Path

import pytest

from .project import Project

NAMES = ("OWN_REDIS_URL", "REDIS_URL", "TOKEN", "MINE", "EMPTY", "TWO_LINES")
PRINT = ("python", "-c", f"import os; print([os.environ.get(n) for n in {NAMES!r}])")


@pytest.fixture
def image(project: Project, tmp_path: Path) -> Project:
    """A project as its services find it in such an image, with a directory of secrets."""
    (tmp_path / "secrets").mkdir()
    Path(project.environment["DENZEL_RUN_DIR"]).mkdir(parents=True)
    project.environment.update(
        DENZEL_BACKEND="image",
        DENZEL_SECRETS=str(tmp_path / "secrets"),
        DENZEL_OS_COMMANDS=str(tmp_path / "os"),
        OWN_REDIS_URL="redis://redis:6379/0",
    )
    return project


def secret(image: Project, name: str, content: bytes) -> None:
    """Mount a file of secrets."""
    (Path(image.environment["DENZEL_SECRETS"]) / name).write_bytes(content)


def failure(image: Project, *arguments: str) -> str:
    """Return the one line that a service which cannot start prints."""
    done = image.run("api", *(arguments or ("--once",)), program=PRINT)
    assert (done.returncode, done.stdout) == (1, "")
    (line,) = done.stderr.splitlines()
    return line


def test_nothing_is_installed_and_no_command_is_run(image: Project) -> None:
    image.require("nosuchpackage")
    image.command("touch ran")
    done = image.run("api", "--os-commands", program=PRINT)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("['redis://redis:6379/0', None")
    assert image.pip_runs() == 0
    assert not (image.directory / "ran").exists()
    assert not (image.directory / "requirements.lock").exists()
    assert image.state("api")[0] == "STARTING..."


def test_secrets_are_files_named_as_settings_beside_the_environment(image: Project) -> None:
    image.environment["MINE"] = "from the environment"
    secret(image, "TOKEN", b"t1 \n")
    secret(image, "MINE", b"from a file")
    secret(image, "EMPTY", b"\r\n")
    secret(image, "TWO_LINES", b"a\nb\n")
    secret(image, "..data", b"of Kubernetes")
    (Path(image.environment["DENZEL_SECRETS"]) / "directory").mkdir()
    (image.directory / ".env.secrets").write_text("REDIS_URL=redis://elsewhere/0\n")
    expected = ["redis://redis:6379/0", None, "t1 ", "from the environment", "", "a\nb"]
    assert image.run("api", program=PRINT).stdout.strip() == str(expected)
    # What is run beside the service, such as its health check, has them, too.
    beside = image.run("python", "--run", program=PRINT[1:])
    assert beside.stdout.strip() == str(expected)


def test_where_redis_is_must_be_said(image: Project) -> None:
    del image.environment["OWN_REDIS_URL"]
    assert failure(image).startswith("REDIS_URL is not set, and this image has no Redis of its own")
    secret(image, "REDIS_URL", b"redis://of-a-file:6379/0\n")
    assert "redis://of-a-file:6379/0" in image.run("api", program=PRINT).stdout


def test_a_secret_that_is_no_text_is_an_error_that_names_it(image: Project) -> None:
    secret(image, "TOKEN", b"\xff")
    assert failure(image).startswith(f"The secrets in {image.environment['DENZEL_SECRETS']} cannot")


def test_settings_are_corrected_where_they_come_from(image: Project) -> None:
    image.environment["MAX_QUEUE"] = "many"
    line = failure(image)
    assert line.startswith("MAX_QUEUE=many cannot be used: it takes ")
    assert line.endswith("; correct it in the container's environment, or in /run/secrets")
    shown = image.wait_for_state(image.start("api", program=PRINT), "ERROR")
    assert shown == line


def test_a_run_directory_that_cannot_be_written_says_what_to_mount(image: Project) -> None:
    image.environment["DENZEL_RUN_DIR"] = "/proc/denzel"
    assert failure(image).startswith("/proc/denzel cannot be written by user id ")
    assert "--tmpfs /proc/denzel:mode=1777" in failure(image)


@pytest.mark.parametrize("what", [["--install", "pip"], ["--switch"]], ids=" ".join)
def test_what_runs_cannot_be_changed(image: Project, what: list[str]) -> None:
    assert failure(image, *what).startswith("This image is complete, and stays as it is")
    assert image.pip_runs() == 0
