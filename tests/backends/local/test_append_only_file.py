"""Redis's file after a power failure: what is cut off by itself, and what is asked for."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from denzel.backends.local.append_only_file import AppendOnlyFile, is_unfinished
from denzel.backends.local.redis_server import find_redis_server

SET = b"*3\r\n$3\r\nSET\r\n$1\r\na\r\n$4\r\n\0\0\0\0\r\n"
MULTI = b"*1\r\n$5\r\nMULTI\r\n"


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A directory as Redis keeps it, with a file of two commands."""
    directory = tmp_path / "redis" / "appendonlydir"
    directory.mkdir(parents=True)
    (directory / "appendonly.aof.manifest").write_text(
        "file appendonly.aof.1.base.rdb seq 1 type b\nfile appendonly.aof.1.incr.aof seq 1 type i\n"
    )
    (directory / "appendonly.aof.1.incr.aof").write_bytes(SET * 2)
    return tmp_path / "redis"


def append_only_file(data: Path, server: Path | None = None) -> AppendOnlyFile:
    file = AppendOnlyFile.of(data, server or find_redis_server(), data)
    assert file is not None
    return file


@pytest.mark.parametrize(
    ("tail", "cut"),
    [
        (b"", "4096 zero bytes"),
        (SET[:-4], "4098 zero bytes and 24 bytes of an unfinished command"),
        (MULTI + SET, "4096 zero bytes and 45 bytes of an unfinished command"),
    ],
)
def test_zero_bytes_at_the_end_are_cut_off(data: Path, tail: bytes, cut: str) -> None:
    file = append_only_file(data)
    file.path.write_bytes(SET * 2 + tail + bytes(4096))
    assert file.repair() == cut
    assert file.path.read_bytes() == SET * 2
    assert file.repair() == file.damage(data) == ""


def test_the_server_in_the_extra_checks_files_too(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    server = find_redis_server()
    monkeypatch.undo()
    file = append_only_file(data, server)
    file.path.write_bytes(SET * 2 + bytes(4096))
    assert file.repair() == "4096 zero bytes"


def test_other_damage_is_left_to_the_user_along_with_the_command(data: Path) -> None:
    file = append_only_file(data)
    damaged = SET + bytes(100) + SET + bytes(100)
    file.path.write_bytes(damaged)
    assert file.repair() == ""
    assert file.path.read_bytes() == damaged
    told = file.damage(data)
    assert f"damaged from byte {len(SET)} on" in told
    command = told.split("`")[1].split()
    subprocess.run(command, cwd=data, input=b"y\n", check=True, capture_output=True)
    assert file.path.read_bytes() == SET


def test_without_a_file_there_is_nothing_to_do(tmp_path: Path) -> None:
    assert AppendOnlyFile.of(tmp_path, find_redis_server(), tmp_path) is None


@pytest.mark.parametrize(
    ("commands", "unfinished"),
    [
        (b"", True), (b"*", True), (b"*3\r", True), (b"*3\r\n$3\r\nSE", True), (SET, True),
        (b"*3\r\n$3\r\nSET", True), (SET + MULTI[:-1], True),
        (b"x", False), (b"\0*3\r\n", False), (b"*3\r\n$3\r\nSETxx", False),
        (SET + b"\0" + SET, False),
    ],
)  # fmt: skip
def test_the_beginning_of_commands(commands: bytes, unfinished: bool) -> None:
    assert is_unfinished(commands) is unfinished
