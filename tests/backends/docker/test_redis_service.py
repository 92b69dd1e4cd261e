"""The Redis service's command, run with its image: what it does to a file before Redis reads it."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
import yaml

from denzel.project import Project
from engine import require_engine

SET = b"*3\r\n$3\r\nSET\r\n$1\r\na\r\n$1\r\n1\r\n"
ENDS = "exec docker-entrypoint.sh"


@pytest.fixture
def script(project: Project) -> str:
    """What the service runs, but that it prints the key instead of serving."""
    require_engine()
    compose = yaml.safe_load((project.root / "docker-compose.yml").read_text())
    command = compose["services"]["redis"]["command"][2].replace("$$", "$")
    assert ENDS in command
    return str(command.partition(ENDS)[0])


def run(script: str, directory: Path) -> str:
    options = ["--rm", "--network", "none", "--volume", f"{directory}:/data"]
    done = subprocess.run(
        ["docker", "run", *options, "redis:8", "sh", "-c", script], capture_output=True, text=True
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
    script: str, tmp_path: Path, content: bytes, left: bytes, said: str
) -> None:
    directory = tmp_path / "data" / "appendonlydir"
    directory.mkdir(parents=True)
    (directory / "appendonly.aof.manifest").write_text(
        "file appendonly.aof.1.base.rdb seq 1 type b\nfile appendonly.aof.1.incr.aof seq 1 type i\n"
    )
    file = directory / "appendonly.aof.1.incr.aof"
    file.write_bytes(content)
    for path in (directory, file):
        path.chmod(0o777)  # some images of Redis serve as its user from the start
    assert said in run(script, tmp_path / "data")
    assert file.read_bytes() == left


def test_a_new_service_has_no_file_yet(script: str, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    assert run(script, tmp_path / "data") == ""
