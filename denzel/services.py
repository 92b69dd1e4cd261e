"""States of services and workers: pure data, shared by backends, operations and console."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

SERVICES = ("denzel", "monitor", "api", "redis", "callbacks")
"""The services of every project, in the order ``denzel status`` shows them."""

START_ORDER = ("redis", "api", "denzel", "callbacks", "monitor")
"""In which they are started, and reported to be."""

REPLICA_SETTINGS = {"denzel": "WORKER_REPLICAS", "api": "API_REPLICAS"}
"""The services of which there can be several, and the settings that say how many."""

REDIS = "redis"
"""The service that there is without REDIS_URL alone."""
HTTPS = "https"
"""The service that there is with HTTPS_DOMAIN alone: a Caddy."""
BALANCER = "balancer"
"""The service that there is in Docker with several replicas of the API alone: a Caddy."""
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
    """One line under ``Services:``; ``port`` is the published port, if there is one.

    A service may run several times: ``replicas``.
    """

    name: str
    state: State
    port: int | None = None
    detail: str = ""
    replicas: int = 1


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


REPLICA = re.compile(rf"({'|'.join(REPLICA_SETTINGS)})-([2-9]|[1-9][0-9]+)")
FURTHEST_FIRST = (
    State.ERROR, State.DOWN, State.STARTING, State.PIP_INSTALLING, State.OS_COMMANDS, State.LOADING,
    State.UP,
)  # fmt: skip


def replica_name(service: str, number: int) -> str:
    """Return what a replica of a service is called: the first as the service, api-2, api-3 ..."""
    return service if number == 1 else f"{service}-{number}"


def service_of(replica: str) -> str:
    """Return which service a replica is one of."""
    service, _ = _split(replica)
    return service


def number_of(replica: str) -> int:
    """Return which replica of its service one is, from 1 on."""
    _, number = _split(replica)
    return number


def summed_up(service: str, replicas: Sequence[ServiceStatus]) -> ServiceStatus:
    """Return a service's line: that of its replica which is furthest from being up."""
    worst = min(replicas, key=lambda line: FURTHEST_FIRST.index(line.state))
    detail = worst.detail
    if detail and worst.name != service:
        detail = f"{worst.name}: {detail}"
    return replace(worst, name=service, detail=detail, replicas=len(replicas))


def _split(replica: str) -> tuple[str, int]:
    found = REPLICA.fullmatch(replica)
    return (found[1], int(found[2])) if found else (replica, 1)
