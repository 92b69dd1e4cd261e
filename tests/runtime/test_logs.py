"""Log handlers that never fail whoever logs."""

from __future__ import annotations

import logging
import os

from app.runtime import logs


def log(handler: logging.Handler, message: str, *arguments: object) -> None:
    """Write a message as a logger would."""
    handler.handle(logging.LogRecord("test", logging.ERROR, "", 0, message, arguments, None))


def test_a_broken_message_raises_nothing() -> None:
    with open(os.devnull, "w", encoding="utf-8") as output:  # noqa: PTH123
        log(logs.OutputHandler(output), "%d", "no number")


def test_an_output_that_is_closed_raises_nothing() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w", encoding="utf-8") as output:
        handler = logs.OutputHandler(output)
        log(handler, "lost")
        handler.stream = None
        log(handler, "lost")
        os.dup2(os.open(os.devnull, os.O_WRONLY), writing)
