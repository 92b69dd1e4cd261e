"""Programs whose output is kept, in a directory where another user may have put something."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from app.runtime.bootstrap.commands import open_log, run_logged


def link(path: Path, other: Path) -> None:
    path.symlink_to(other)


def hard_link(path: Path, other: Path) -> None:
    path.hardlink_to(other)


def pipe(path: Path, other: Path) -> None:
    os.mkfifo(path)


@pytest.mark.parametrize("put", [link, hard_link, pipe])
def test_what_stands_under_a_logs_name_is_never_opened(
    tmp_path: Path, put: Callable[[Path, Path], None]
) -> None:
    other = tmp_path / "other"
    other.write_text("precious", encoding="utf-8")
    path = tmp_path / "logs" / "requirements.log"
    path.parent.mkdir()
    put(path, other)
    code, tail = run_logged([sys.executable, "-c", "print('hello')"], path)
    assert (code, tail) == (0, ["hello"])
    assert path.read_text(encoding="utf-8") == "hello\n"
    assert other.read_text(encoding="utf-8") == "precious"


def test_a_log_that_cannot_be_written_stops_nothing(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "requirements.log"
    path.mkdir()
    assert open_log(path) is None
    assert run_logged([sys.executable, "-c", "print('hello')"], path) == (0, ["hello"])
    shown = capfd.readouterr()
    assert shown.out == "hello\n"
    assert f"{path} is not written" in shown.err


def test_the_end_of_the_output_is_kept(tmp_path: Path) -> None:
    program = "for number in range(1000): print(number)"
    _, tail = run_logged([sys.executable, "-c", program], tmp_path / "log")
    assert tail[-1] == "999"
    assert len(tail) < 400
