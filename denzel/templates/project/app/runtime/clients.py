"""gunicorn's worker for the API, with time limits for clients that gunicorn has none for.

A client may be slow in three ways: with its request's head, with its body, and with taking the
answer.  Each ties up a connection and what is buffered for it, so a connection that moves less
than a trickle for CLIENT_TIMEOUT seconds is closed.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

from gunicorn.asgi.protocol import ASGIProtocol
from gunicorn.workers import gasgi

TRICKLE = 4096
"""Bytes a second that a client must take or send in the long run."""


class ClientProtocol(ASGIProtocol):
    """One client's connection; what is watched here is looked at by the worker, now and then."""

    def __init__(self, worker: ClientWorker) -> None:
        super().__init__(worker)
        self._clients = worker.clients
        self._body_bytes = 0
        self._credit: float | None = None
        self._body_seen = 0
        self._unsent = 0

    def connection_made(self, transport: asyncio.Transport) -> None:
        """Give the first request's head as much time as later ones have; refuse one too many."""
        super().connection_made(transport)
        self._clients.add(self)
        if len(self._clients) > self.cfg.worker_connections:
            transport.abort()
        else:
            self._arm_keepalive_timer()

    def connection_lost(self, exc: BaseException | None) -> None:
        """Forget the connection."""
        self._clients.discard(self)
        super().connection_lost(exc)

    def _on_body(self, chunk: bytes) -> None:
        self._body_bytes += len(chunk)
        super()._on_body(chunk)

    def close_if_idle(self) -> None:
        """Close the connection if no request is under way on it."""
        if self._keepalive_handle is not None:  # its timer runs while the next is awaited
            self._keepalive_timeout()

    def look(self, elapsed: float, patience: float) -> None:
        """Close the connection if it has stalled; ``elapsed`` seconds since the last look.

        While something is to move, time uses up credit and bytes restore it, up to
        ``patience`` seconds.
        """
        receiver = self._body_receiver
        unsent = self.transport.get_write_buffer_size()
        if unsent == 0 and (receiver is None or receiver._complete):
            self._credit = None
            return
        moved = self._body_bytes - self._body_seen + max(0, self._unsent - unsent)
        self._body_seen, self._unsent = self._body_bytes, unsent
        if self._credit is None:
            self._credit = patience
            return
        self._credit = min(patience, self._credit - elapsed + moved / TRICKLE)
        if self._credit <= 0:
            self.transport.abort()


class ClientWorker(gasgi.ASGIWorker):
    """Runs the API and looks after its clients' connections."""

    clients: set[ClientProtocol]

    async def _serve(self) -> None:
        self.clients = set()
        gasgi.ASGIProtocol = ClientProtocol  # gunicorn names it in this global alone
        looking = asyncio.create_task(self._look_after_clients())
        try:
            await super()._serve()
        finally:
            looking.cancel()
            with suppress(asyncio.CancelledError):
                await looking

    async def _shutdown(self) -> None:
        """Stop when the requests under way are answered; idle clients are not waited for."""
        for client in list(self.clients):
            client.close_if_idle()
        await super()._shutdown()

    async def _look_after_clients(self) -> None:
        patience: Any = self.cfg.keepalive
        interval = patience / 10
        while True:
            await asyncio.sleep(interval)
            for client in list(self.clients):
                client.look(interval, patience)
