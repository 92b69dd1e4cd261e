"""How the services log, to their output; logging never fails a request."""

from __future__ import annotations

import logging
import sys
from contextlib import suppress

SERVICE_LOG_FORMAT = "[%(asctime)s: %(levelname)s] %(message)s"
API_LOG_FORMAT = "%(asctime)s [%(process)d] [%(levelname)s] %(message)s"
API_DATE_FORMAT = "[%Y-%m-%d %H:%M:%S %z]"
"""As gunicorn has them (gunicorn/glogging.py), whose lines stand among the API's own."""


class OutputHandler(logging.StreamHandler):  # type: ignore[type-arg]
    """Writes to the service's output; raises nothing, whatever becomes of it."""

    def handleError(self, record: logging.LogRecord) -> None:
        """Show what is wrong with a message, if it can be shown."""
        with suppress(Exception):
            super().handleError(record)


def configure_logging(
    level: str, log_format: str = SERVICE_LOG_FORMAT, date_format: str | None = None
) -> None:
    """Log messages of ``level`` and above to stdout, the service's output."""
    logging.basicConfig(
        level=level.upper(), format=log_format, datefmt=date_format,
        handlers=[OutputHandler(sys.stdout)], force=True,
    )  # fmt: skip
