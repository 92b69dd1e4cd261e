"""The line in the log that every answer of 400 and above has; of many 503s, some."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from app.runtime.logs import of_task

MAX_PATH = 200
WINDOW_SECONDS = 10.0
LINES_PER_WINDOW = 20
"""Answers of 503 with one title that have a line each: an outage brings thousands."""

log = logging.getLogger("denzel.api")


class Flood:
    """Counts answers with the same title; ``clock`` gives seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._windows: dict[str, tuple[float, int]] = {}

    def admits(self, title: str) -> bool:
        """Tell whether one more has a line of its own; those that had none are told afterwards."""
        now = self._clock()
        began, count = self._windows.get(title, (now, 0))
        if now - began >= WINDOW_SECONDS:
            if count > LINES_PER_WINDOW:
                log.warning(
                    "503 %s: %d more answers in %.0f s", title, count - LINES_PER_WINDOW,
                    now - began,
                )  # fmt: skip
            began, count = now, 0
        self._windows[title] = began, count + 1
        return count < LINES_PER_WINDOW


_flood = Flood()
"""This process's."""


def log_answer(
    method: str, path: str, status: int, title: str, task_id: str = "", *, client: str = ""
) -> None:
    """Log an answer that is no success; ``path`` is what the client at ``client`` sent."""
    if status == 503 and not _flood.admits(title):
        return
    level = logging.ERROR if status == 500 else logging.WARNING  # 500: a fault of the service
    # Escaped, so that no client can write lines of its own.
    shown = path[:MAX_PATH].encode("unicode_escape").decode()
    task, sender = f" [{task_id}]" * bool(task_id), f" from {client}" * bool(client)
    log.log(
        level, "%s %s: %d %s%s%s", method, shown, status, title, task, sender,
        extra=of_task(task_id),
    )  # fmt: skip
