"""States of services and workers: pure data, shared by backends, operations and console."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

SERVICES = ("denzel", "monitor", "api", "redis", "callbacks")
"""The services of every project, in the order ``denzel status`` shows them."""

START_ORDER = ("redis", "api", "denzel", "callbacks", "monitor")
"""In which they are started, and reported to be."""

REDIS = "redis"
"""The service that there is without REDIS_URL alone."""
HTTPS = "https"
"""The service that there is with HTTPS_DOMAIN alone: a Caddy."""
METRICS_SERVICES = ("prometheus", "grafana")
"""Those that Docker runs besides, with WITH_METRICS."""

NOT_LAUNCHED = 'Haven\'t been created yet. Did you forget to run "denzel launch"?'
"""What ``denzel status`` shows of a project that is not launched."""


class State(StrEnum):
    """What ``denzel status`` shows behind a service's or worker's name.

    The project's own ``app/runtime/state.py`` writes these same strings into the run directory.
    """

    UP = "UP"
    DOWN = "DOWN"
    STARTING = "STARTING..."
    PIP_INSTALLING = "PIP INSTALLING..."
    OS_COMMANDS = "OS COMMANDS..."
    LOADING = "LOADING..."
    ERROR = "ERROR"


@dataclass(frozen=True)
class ServiceStatus:
    """One line under ``Services:``; ``port`` is the published port, if there is one."""

    name: str
    state: State
    port: int | None = None
    detail: str = ""


@dataclass(frozen=True)
class WorkerStatus:
    """One ``Worker:`` line; ``name`` is Celery's node name, ``worker@PROJECT``.

    ``model`` says how the worker holds its model: ``processes``, ``threads``, ``shared``,
    ``reason``.  ``stalled`` are predictions that neither end nor use the processor.  ``gpus`` are
    those it runs on, each with ``label``, ``name``, ``uuid``, its memory, its use, its processes'
    ``pids``, and its ``problem``, if it has one.
    """

    name: str
    state: State
    detail: str = ""
    model: Mapping[str, Any] | None = None
    stalled: Sequence[Mapping[str, Any]] = ()
    gpus: Sequence[Mapping[str, Any]] = ()

    @classmethod
    def of(cls, name: str, state: State, detail: str, record: Mapping[str, Any]) -> WorkerStatus:
        """Return the line of a worker whose state file holds ``record``."""
        model, stalled = record.get("model"), record.get("stalled", ())
        return cls(name, state, detail, model, stalled, record.get("gpus", ()))


@dataclass(frozen=True)
class Status:
    """Everything ``denzel status`` knows about a deployment at one moment."""

    services: tuple[ServiceStatus, ...]
    workers: tuple[WorkerStatus, ...] = ()

    @property
    def lines(self) -> tuple[ServiceStatus | WorkerStatus, ...]:
        """The services', then the workers' lines."""
        return (*self.services, *self.workers)

    @property
    def ready(self) -> bool:
        """Whether every line says UP and at least one worker is listed."""
        return bool(self.workers) and all(line.state is State.UP for line in self.lines)

    @property
    def failures(self) -> tuple[ServiceStatus | WorkerStatus, ...]:
        """The lines that say ERROR."""
        return tuple(line for line in self.lines if line.state is State.ERROR)
