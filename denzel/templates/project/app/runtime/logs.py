"""Where the services log to: their output, and for some a file; logging never fails a request."""

from __future__ import annotations

import logging
import logging.handlers
import sys
from contextlib import suppress
from io import TextIOWrapper
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


class FileHandler(logging.handlers.WatchedFileHandler):
    """Writes to a file, which is made again when it is gone, and its directory; raises nothing.

    What it cannot write is in the service's output as well.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path, encoding="utf-8", delay=True)

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record, if that can be done."""
        with suppress(OSError):
            super().emit(record)

    def close(self) -> None:
        """Close the file, if that can be done."""
        with suppress(OSError):
            super().close()

    def handleError(self, record: logging.LogRecord) -> None:
        """Drop the record: the other handler tells what is wrong with it."""

    def _open(self) -> TextIOWrapper:
        Path(self.baseFilename).parent.mkdir(parents=True, exist_ok=True)
        return super()._open()


def configure_logging(
    level: str,
    file: Path | None = None,
    log_format: str = LOG_FORMAT,
    date_format: str | None = None,
) -> None:
    """Log messages of ``level`` and above to stdout, and to a file if one is given."""
    handlers: list[logging.Handler] = [OutputHandler(sys.stdout)]
    if file is not None:
        handlers.append(FileHandler(file))
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
