"""The worker's log: its own output, and logs/worker.log."""

from __future__ import annotations

import logging
from pathlib import Path

from app.runtime import logs
from app.runtime.settings import load_settings

LOG_FILE = Path("logs/worker.log")


def configure_logging() -> None:
    """Log to stdout (the service's log) and to logs/worker.log."""
    level = load_settings().log_level
    logs.configure_logging(level, LOG_FILE)
    if level != "debug":
        # Two lines a task would be gigabytes a day; the pipeline's failures are logged there.
        logging.getLogger("celery.worker.strategy").setLevel(logging.WARNING)
        logging.getLogger("celery.app.trace").setLevel(logging.CRITICAL)


def rotate_log(**_: object) -> None:
    """Move the log file aside when it has grown large; one older file is kept."""
    logs.rotate(LOG_FILE)
