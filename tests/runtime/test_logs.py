"""Logging that never fails whoever logs."""

from __future__ import annotations

import logging
import os
from pathlib import Path

from app.runtime import logs


def log(handler: logging.Handler, message: str, *arguments: object) -> None:
    """Write a message as a logger would."""
    handler.handle(logging.LogRecord("test", logging.ERROR, "", 0, message, arguments, None))


def test_a_large_file_is_moved_aside_and_a_small_one_stays(tmp_path: Path) -> None:
    file = tmp_path / "worker.log"
    logs.rotate(file)  # nothing there is no error
    file.write_text("x" * logs.LOG_BYTES, encoding="utf-8")
    logs.rotate(file)
    assert file.exists()
    file.write_text("x" * (logs.LOG_BYTES + 1), encoding="utf-8")
    logs.rotate(file)
    assert not file.exists()
    assert file.with_suffix(".log.1").stat().st_size > logs.LOG_BYTES


def test_an_output_that_is_closed_raises_nothing() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w", encoding="utf-8") as output:
        handler = logs.OutputHandler(output)
        log(handler, "lost")
        log(handler, "%d", "no number")
        handler.stream = None
        log(handler, "lost")
        os.dup2(os.open(os.devnull, os.O_WRONLY), writing)
