"""Where the services log to: their output, and for some a file; logging never fails a request."""

from __future__ import annotations

import logging
import logging.handlers
import sys
from contextlib import suppress
from pathlib import Path

LOG_FORMAT = "[%(asctime)s: %(levelname)s/%(processName)s] %(message)s"
"""What the worker's processes write."""
SERVICE_LOG_FORMAT = "[%(asctime)s: %(levelname)s] %(message)s"
API_LOG_FORMAT = "%(asctime)s [%(process)d] [%(levelname)s] %(message)s"
API_DATE_FORMAT = "[%Y-%m-%d %H:%M:%S %z]"
"""As gunicorn has them (gunicorn/glogging.py), whose lines stand among the API's own."""
LOG_BYTES = 10 * 2**20


class OutputHandler(logging.StreamHandler):  # type: ignore[type-arg]
    """Writes to the service's output; raises nothing, whatever becomes of it."""

    def handleError(self, record: logging.LogRecord) -> None:
        """Show what is wrong with a message, if it can be shown."""
        with suppress(Exception):
            super().handleError(record)


def configure_logging(
    level: str, log_format: str = LOG_FORMAT, date_format: str | None = None
) -> None:
    """Log messages of ``level`` and above to stdout."""
    handlers = [OutputHandler(sys.stdout)]
    logging.basicConfig(
        level=level.upper(), format=log_format, datefmt=date_format, handlers=handlers, force=True
    )


def rotate(file: Path) -> None:
    """Move a log file aside when it has grown large; one older file is kept.

    The handlers of all processes follow.
    """
    with suppress(OSError):
        if file.stat().st_size > LOG_BYTES:
            file.replace(file.with_suffix(".log.1"))
