"""Redis's entrypoint in its image: what it does before it becomes Redis."""

from __future__ import annotations

import stat
import subprocess
from pathlib import Path

import pytest

from denzel.project import Project
from engine import require_engine

SET = b"*3\r\n$3\r\nSET\r\n$1\r\na\r\n$1\r\n1\r\n"
ENDS = "exec $drop docker-entrypoint.sh"


@pytest.fixture
def script(project: Project) -> str:
    """What the entrypoint does before it becomes Redis."""
    require_engine()
    text = (project.root / "entrypoints" / "redis.sh").read_text()
    assert ENDS in text
    return text.partition(ENDS)[0]


def run(script: str, project: Project, directory: Path, *options: str) -> str:
    """Run a script as the service's is run; return what it printed."""
    place = [
        "--user", "root", "--tmpfs", "/opt/denzel:mode=0700", "--network", "none",
        "--volume", f"{project.root}:/opt/denzel/project", "--volume", f"{directory}:/data",
    ]  # fmt: skip
    done = subprocess.run(
        ["docker", "run", "--rm", *place, *options, "redis:8", "sh", "-c", script],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize(
    ("content", "left", "said"),
    [
        (SET + bytes(4096), SET, f"from byte {len(SET)} on they were cut off"),
        (SET + bytes(8) + SET + bytes(8), SET + bytes(8) + SET + bytes(8), ""),
        (SET, SET, ""),
    ],
)
def test_zero_bytes_alone_are_cut_off(
    script: str, project: Project, tmp_path: Path, content: bytes, left: bytes, said: str
) -> None:
    directory = tmp_path / "data" / "appendonlydir"
    directory.mkdir(parents=True)
    (directory / "appendonly.aof.manifest").write_text(
        "file appendonly.aof.1.base.rdb seq 1 type b\nfile appendonly.aof.1.incr.aof seq 1 type i\n"
    )
    file = directory / "appendonly.aof.1.incr.aof"
    file.write_bytes(content)
    output = run(script, project, tmp_path / "data")
    assert said in output
    assert bool(said) == bool(output)
    assert file.read_bytes() == left


def test_a_new_service_has_no_file_yet(script: str, project: Project, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    assert run(script, project, tmp_path / "data") == ""


def password(project: Project, directory: Path, script: str) -> str:
    """Return the password Redis would take."""
    return run(f"{script}\ncat /opt/denzel/password", project, directory).splitlines()[-1]


def test_missing_secrets_are_made_once(script: str, project: Project, tmp_path: Path) -> None:
    project.secrets_file.unlink()
    project.set_environment(MONITOR_USER="ann")
    data = tmp_path / "data"
    data.mkdir()
    said = run(script, project, data, "--env", "MONITOR_USER=ann")
    names = "REDIS_PASSWORD CALLBACK_SECRET MONITOR_PASSWORD"
    assert f"Missing in .env.secrets and made anew: {names}" in said
    first = project.secrets_file.read_text()
    settings = Project(project.root).settings
    assert min(len(settings.redis_password), len(settings.monitor_password)) > 40
    assert stat.S_IMODE(project.secrets_file.stat().st_mode) == 0o600
    assert run(script, project, data, "--env", "MONITOR_USER=ann") == ""
    assert project.secrets_file.read_text() == first
    assert not list(project.root.glob(".env.secrets.*"))


@pytest.mark.parametrize(
    ("line", "value"),
    [
        ("REDIS_PASSWORD=a$b # mine", "a$b"),
        ("  export REDIS_PASSWORD='a # b'", "a # b"),
        ('REDIS_PASSWORD="a b"\r', "a b"),
        ("REDIS_PASSWORD=old\nREDIS_PASSWORD=new", "new"),
    ],
)
def test_the_password_is_read_as_the_command_line_reads_it(
    script: str, project: Project, tmp_path: Path, line: str, value: str
) -> None:
    (tmp_path / "data").mkdir()
    secret = project.settings.callback_secret
    project.write_secrets(f"TOKEN=1\nCALLBACK_SECRET={secret}\n{line}")
    assert project.settings.redis_password == value
    assert password(project, tmp_path / "data", script) == value


def test_what_is_missing_is_added_to_what_is_there(
    script: str, project: Project, tmp_path: Path
) -> None:
    (tmp_path / "data").mkdir()
    project.write_secrets("# mine\nTOKEN=1\nREDIS_PASSWORD=\nCALLBACK_SECRET=")
    assert "made anew" in run(script, project, tmp_path / "data")
    assert project.secrets_file.read_text().startswith("# mine\nTOKEN=1\nREDIS_PASSWORD=\n")
    assert project.settings.redis_password == password(project, tmp_path / "data", script)
