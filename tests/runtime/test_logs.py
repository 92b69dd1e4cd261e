"""Log handlers that never fail whoever logs."""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.runtime import logs


@pytest.fixture
def log_file(tmp_path: Path) -> Path:
    """Return a log file's path in a directory that is not there yet."""
    return tmp_path / "logs" / "worker.log"


@pytest.fixture
def handler(log_file: Path) -> Iterator[logs.FileHandler]:
    """Yield a handler that writes to the file."""
    handler = logs.FileHandler(log_file)
    yield handler
    handler.close()


def log(handler: logging.Handler, message: str, *arguments: object) -> None:
    """Write a message as a logger would."""
    handler.handle(logging.LogRecord("test", logging.ERROR, "", 0, message, arguments, None))


def test_a_directory_that_is_gone_is_made_again(handler: logs.FileHandler, log_file: Path) -> None:
    log(handler, "one")
    assert log_file.read_text(encoding="utf-8") == "one\n"
    shutil.rmtree(log_file.parent)
    log(handler, "two")
    log(handler, "three")
    assert log_file.read_text(encoding="utf-8") == "two\nthree\n"


def test_a_file_that_was_moved_aside_is_followed(handler: logs.FileHandler, log_file: Path) -> None:
    log(handler, "x" * logs.LOG_BYTES)
    logs.rotate(log_file)
    log(handler, "new")
    assert log_file.read_text(encoding="utf-8") == "new\n"
    assert log_file.with_suffix(".log.1").stat().st_size > logs.LOG_BYTES


def test_rotating_nothing_is_no_error(log_file: Path) -> None:
    logs.rotate(log_file)


@pytest.mark.parametrize("obstacle", ["a file", "a directory", "a device that is full"])
def test_what_cannot_be_written_raises_nothing(
    handler: logs.FileHandler, log_file: Path, obstacle: str
) -> None:
    if obstacle == "a file":
        log_file.parent.write_text("", encoding="utf-8")
    elif obstacle == "a directory":
        log_file.mkdir(parents=True)
    else:
        log_file.parent.mkdir()
        log_file.symlink_to("/dev/full")
    for _ in range(3):
        log(handler, "lost")


def test_a_broken_message_raises_nothing(handler: logs.FileHandler) -> None:
    log(handler, "%d", "no number")


def test_an_output_that_is_closed_raises_nothing() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w", encoding="utf-8") as output:
        handler = logs.OutputHandler(output)
        log(handler, "lost")
        handler.stream = None
        log(handler, "lost")
        os.dup2(os.open(os.devnull, os.O_WRONLY), writing)
