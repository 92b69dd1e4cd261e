"""Hand what a process has counted on to Redis, every few seconds.

What is lost when a process is killed is a few seconds' worth; what cannot be handed on while Redis
is away is handed on later.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import orjson
import redis
import redis.asyncio
from redis.exceptions import RedisError

from app.runtime.metrics.processes import Memory
from app.runtime.metrics.tally import Key, Tally
from app.runtime.periodic import Periodic
from app.runtime.store.lua_scripts import load_script

FLUSH_SECONDS = 2.0
"""How often; the worker does it with its heartbeats."""
BELIEVED_SECONDS = 15.0

log = logging.getLogger("denzel.metrics")


class ProcessReport:
    """What a service's process says of itself, and of the children it speaks for."""

    def __init__(self, service: str, children: Callable[[], Iterable[int]] = tuple) -> None:
        self.name = f"{service}/{socket.gethostname()}/{os.getpid()}"
        self._facts = {"service": service, "host": socket.gethostname()}
        self._children = children
        self._memory = Memory()

    def encode(self) -> bytes:
        """Return it as JSON."""
        pids = [os.getpid(), *self._children()]
        figures = {"processes": len(pids), "memory": self._memory.total(pids)}
        return orjson.dumps({**self._facts, **figures})


def arguments(
    report: ProcessReport, taken: Mapping[Key, float], seconds: float = BELIEVED_SECONDS
) -> list[Any]:
    """Return the arguments of ``record_metrics.lua``; the report is believed for so long."""
    found: list[Any] = [report.name, report.encode(), seconds]
    for key, value in taken.items():
        found += [orjson.dumps(key), value]
    return found


class Recorder:
    """Hands on what the worker's main process counts; ``flush`` is called by its event loop."""

    def __init__(self, client: redis.Redis, tally: Tally, report: ProcessReport) -> None:
        self._tally = tally
        self._report = report
        self._record: Any = client.register_script(load_script("record_metrics"))
        self._ahead: float | None = None

    def flush(self) -> None:
        """Hand on what there is; Redis may be away."""
        taken = self._tally.take()
        sent = time.time()
        try:
            now = float(self._record(args=arguments(self._report, taken)))
            self._ahead = now - (sent + time.time()) / 2
        except RedisError as error:
            self._tally.put_back(taken)
            log.debug("Figures wait for Redis: %s", error)

    def seconds_since(self, moment: float) -> float | None:
        """Return how long ago a moment of Redis's clock was; None while that is not known."""
        return None if self._ahead is None else max(0.0, time.time() + self._ahead - moment)


class AsyncRecorder(Periodic):
    """Hands on what a process with asyncio counts."""

    interval = FLUSH_SECONDS

    def __init__(self, client: Any, tally: Tally, service: str) -> None:
        self._tally = tally
        self._report = ProcessReport(service)
        self._record = client.register_script(load_script("record_metrics"))

    async def look(self) -> None:
        """Hand on what there is."""
        await self._flush(BELIEVED_SECONDS)

    async def stop(self) -> None:
        """Hand on what is left."""
        await super().stop()
        await self._flush(0)

    async def _flush(self, believed: float) -> None:
        taken = self._tally.take()
        try:
            await self._record(args=arguments(self._report, taken, believed))
        except asyncio.CancelledError:
            self._tally.put_back(taken)
            raise
        except (RedisError, OSError) as error:
            self._tally.put_back(taken)
            log.debug("Figures wait for Redis: %s", error)
