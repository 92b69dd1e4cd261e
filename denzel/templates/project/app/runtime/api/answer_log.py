"""The line in the log that every answer of 400 and above has."""

from __future__ import annotations

import logging

MAX_PATH = 200

log = logging.getLogger("denzel.api")


def log_answer(
    method: str, path: str, status: int, title: str, task_id: str = "", *, client: str = ""
) -> None:
    """Log an answer that is no success; ``path`` is what the client at ``client`` sent."""
    level = logging.ERROR if status == 500 else logging.WARNING  # 500: a fault of the service
    # Escaped, so that no client can write lines of its own.
    shown = path[:MAX_PATH].encode("unicode_escape").decode()
    task, sender = f" [{task_id}]" * bool(task_id), f" from {client}" * bool(client)
    log.log(level, "%s %s: %d %s%s%s", method, shown, status, title, task, sender)
