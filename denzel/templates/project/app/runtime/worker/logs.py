"""The worker's log: its own output, and logs/worker.log."""

from __future__ import annotations

import logging
import logging.handlers
import sys
from pathlib import Path

from app.runtime.settings import load_settings

LOG_FILE = Path("logs/worker.log")
LOG_FORMAT = "[%(asctime)s: %(levelname)s/%(processName)s] %(message)s"
LOG_BYTES = 10 * 2**20


def configure_logging() -> None:
    """Log to stdout (the service's log) and to logs/worker.log."""
    level = load_settings().log_level.upper()
    LOG_FILE.parent.mkdir(exist_ok=True)
    # Every process's handler follows when rotate_log moves the file aside.
    file_handler = logging.handlers.WatchedFileHandler(LOG_FILE, encoding="utf-8")
    handlers: list[logging.Handler] = [logging.StreamHandler(sys.stdout), file_handler]
    logging.basicConfig(level=level, format=LOG_FORMAT, handlers=handlers, force=True)
    if level != "DEBUG":
        # Two lines a task would be gigabytes a day; prediction.py logs failures.
        logging.getLogger("celery.worker.strategy").setLevel(logging.WARNING)
        logging.getLogger("celery.app.trace").setLevel(logging.CRITICAL)


def rotate_log() -> None:
    """Move the log file aside when it has grown large; one older file is kept."""
    if LOG_FILE.exists() and LOG_FILE.stat().st_size > LOG_BYTES:
        LOG_FILE.replace(LOG_FILE.with_suffix(".log.1"))
