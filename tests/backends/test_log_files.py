"""Log files: the end, what follows, rotation, unfinished lines."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from denzel.backends.base import LogLine
from denzel.backends.log_files import follow_logs, read_logs


class Enough(Exception):
    """Ends following."""


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "api.log"


def append(file: Path, text: str) -> None:
    with file.open("a") as opened:
        opened.write(text)


def texts(log: Path, tail: int | None = None) -> list[str]:
    return [line.text for line in read_logs({"api": log}, tail)]


def follow(log: Path, tail: int | None, *happenings: Callable[[], object]) -> list[str]:
    """Follow while ``happenings`` come one after another; return what was shown."""
    coming = iter(happenings)

    def pause() -> None:
        happening = next(coming, None)
        if happening is None:
            raise Enough
        happening()

    shown: list[str] = []
    with pytest.raises(Enough):
        for line in follow_logs({"api": log}, tail, pause):
            shown.append(line.text)
    return shown


def test_lines_of_each_service(tmp_path: Path) -> None:
    files = {name: tmp_path / f"{name}.log" for name in ("api", "redis", "silent")}
    files["api"].write_text("one\ntwo\n")
    files["redis"].write_text("three\n")
    assert list(read_logs(files, None)) == [
        LogLine("api", "one"),
        LogLine("api", "two"),
        LogLine("redis", "three"),
    ]


def test_the_tail_counts_for_each_service(tmp_path: Path) -> None:
    files = {name: tmp_path / f"{name}.log" for name in ("api", "redis")}
    for file in files.values():
        file.write_text("one\ntwo\nthree\n")
    assert [line.text for line in read_logs(files, 2)] == ["two", "three"] * 2
    assert list(read_logs(files, 0)) == []


def test_rotated_files_come_first(log: Path) -> None:
    log.with_name("api.log.2").write_text("one\n")
    log.with_name("api.log.1").write_text("two\n")
    log.write_text("three\n")
    assert texts(log) == ["one", "two", "three"]
    assert texts(log, 2) == ["two", "three"]


def test_unfinished_and_undecodable_lines_are_shown(log: Path) -> None:
    log.write_bytes(b"one\r\n\xfftwo")
    assert texts(log) == ["one", "\ufffdtwo"]


def test_following_shows_what_is_written(log: Path) -> None:
    log.write_text("one\ntwo\n")
    assert follow(log, 1, lambda: append(log, "three\n")) == ["two", "three"]


def test_following_waits_for_the_end_of_a_line(log: Path) -> None:
    log.write_text("on")
    assert follow(log, None, lambda: append(log, "e\ntw"), lambda: append(log, "o\n")) == [
        "one",
        "two",
    ]


def test_following_a_file_that_comes_later(log: Path) -> None:
    assert follow(log, None, lambda: None, lambda: append(log, "one\n")) == ["one"]


def test_following_goes_over_rotation(log: Path) -> None:
    def rotate() -> None:
        append(log, "two\n")
        log.rename(log.with_name("api.log.1"))
        append(log, "three\n")

    log.write_text("one\n")
    assert follow(log, 0, rotate, lambda: append(log, "four\n")) == ["two", "three", "four"]


def test_following_goes_over_emptying(log: Path) -> None:
    log.write_text("a long first line\n")
    assert follow(log, 0, lambda: log.write_text("new\n")) == ["new"]
