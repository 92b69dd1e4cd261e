"""gunicorn's logger, in the format of all services."""

from __future__ import annotations

import sys

from gunicorn.config import Config
from gunicorn.glogging import Logger

from app.runtime.logs import OutputHandler, make_formatter
from app.runtime.settings import load_settings


class ServiceLogger(Logger):
    """Writes gunicorn's and uvicorn's own lines where and how the API's go."""

    def setup(self, cfg: Config) -> None:
        """Set up as gunicorn does, then write by our handler."""
        super().setup(cfg)
        handler = OutputHandler(sys.stdout)
        handler.setFormatter(make_formatter(load_settings(), "api"))
        self.error_log.handlers = [handler]
