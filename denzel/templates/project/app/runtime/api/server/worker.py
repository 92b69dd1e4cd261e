"""gunicorn's worker for the API: uvicorn, with limits for its clients."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from contextlib import suppress
from functools import partial
from typing import Any, cast

from uvicorn_worker import UvicornWorker

from app.runtime.api.cors import headers_of_refusal
from app.runtime.api.server.head import Limits
from app.runtime.api.server.heartbeat import Heartbeat
from app.runtime.api.server.protocol import ClientProtocol
from app.runtime.api.server.stalls import watch
from app.runtime.settings import load_settings

PARENT_SECONDS = 0.5
TELLING_SECONDS = 2
"""How long an ending process has to answer those it waits for no longer, and to close."""


class ApiWorker(UvicornWorker):
    """Runs the API and looks after its clients' connections."""

    CONFIG_KWARGS = {  # noqa: RUF012 - uvicorn-worker's own name and kind
        "loop": "uvloop",
        "ws": "none",
        "lifespan": "on",
        "proxy_headers": False,
        "server_header": False,
        "headers": [("server", "denzel"), ("x-content-type-options", "nosniff")],
    }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        settings = load_settings()
        self._limits = Limits(
            timeout=settings.client_timeout,
            max_header_bytes=settings.max_header_bytes,
            max_body_bytes=settings.max_body_bytes,
            max_connections=self.cfg.worker_connections,
        )
        self._connected: set[Any] = set()
        cors_headers = partial(
            headers_of_refusal,
            origins=settings.cors_origins,
            credentials=settings.cors_credentials,
        )
        protocol = partial(
            ClientProtocol,
            limits=self._limits,
            connected=self._connected,
            cors_headers=cors_headers,
        )
        self.config.http = cast(Any, protocol)
        # Before gunicorn kills this process, clients that still wait are to be told.
        self.config.timeout_graceful_shutdown = self.cfg.graceful_timeout - TELLING_SECONDS
        # Anyone can send what is no HTTP, as often as they like.
        logging.getLogger("uvicorn.error").addFilter(_is_worth_a_line)

    async def _serve(self) -> None:
        heartbeat = Heartbeat(self.notify, getattr(self.wsgi, "is_verifying", bool))
        heartbeat.start()
        watching = [
            asyncio.create_task(watch(self._connected, self._limits.timeout)),
            asyncio.create_task(self._end_with_parent()),
        ]
        try:
            await super()._serve()
        finally:
            heartbeat.stop()
            for task in watching:
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await task

    async def _end_with_parent(self) -> None:
        """End when gunicorn's main process was killed, as its own workers do.

        The next main process could not listen on a port that this one still holds.
        """
        while os.getppid() == self.ppid:
            await asyncio.sleep(PARENT_SECONDS)
        self.log.warning("The main process has ended; this one ends, too")
        signal.raise_signal(signal.SIGTERM)


def _is_worth_a_line(record: logging.LogRecord) -> bool:
    return not record.getMessage().startswith("Invalid HTTP request")
