"""What a worker process needs to predict: the pipeline, its model, the ways to Redis."""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import redis

from app.runtime.pipeline.loading import Pipeline
from app.runtime.pipeline.time_limit import TimeLimit
from app.runtime.requests.outcomes import OutcomeStore
from app.runtime.requests.worker_queue import WorkerQueue
from app.runtime.settings import Settings
from app.runtime.store.client import connect

HOLDER_VARIABLE = "DENZEL_HOLDER"
ANSWER_SECONDS = 5.0
"""How long the worker's main process waits for Redis; nothing else gets on meanwhile."""


@dataclass(frozen=True)
class WorkerContext:
    """One worker process's pipeline, model and way to Redis."""

    pipeline: Pipeline
    model: Any
    outcomes: OutcomeStore
    time_limit: TimeLimit
    project: str


_context: list[WorkerContext] = []


def set_context(context: WorkerContext) -> None:
    """Give this process, and those forked from it later, their context."""
    _context[:] = [context]


def current_context() -> WorkerContext:
    """Return this process's context; raises LookupError before it has one."""
    return _context[0]


def has_context() -> bool:
    """Tell whether this process has loaded a model, or inherited one."""
    return bool(_context)


def warms_up() -> bool:
    """Tell whether each process forked from this one predicts for EXAMPLE before it is ready."""
    return has_context() and current_context().pipeline.example is not None


def create_context(settings: Settings, pipeline: Pipeline, model: Any) -> WorkerContext:
    """Return a process's context around its model; no connection is opened yet."""
    limit = TimeLimit(settings.prediction_timeout)
    outcomes = connect_outcomes(settings)
    return WorkerContext(pipeline, model, outcomes, limit, settings.project_name)


def connect_outcomes(settings: Settings) -> OutcomeStore:
    """Return where this process writes outcomes; no connection is opened yet."""
    return OutcomeStore(connect(settings.redis), holder(settings), settings.result_ttl)


def connect_queue(settings: Settings) -> WorkerQueue:
    """Return this worker's side of the queues; no connection is opened yet."""
    return WorkerQueue(connect_main(settings), holder(settings), settings.recovery_seconds)


def connect_main(settings: Settings) -> redis.Redis:
    """Return a client for the worker's main process; it connects when used."""
    return connect(settings.redis, answer_seconds=ANSWER_SECONDS)


def holder(settings: Settings) -> str:
    """Return what this worker's requests are held under.

    The main process and the processes it starts, which inherit the variable, are one holder.
    """
    name = f"{place(settings)}{uuid4().hex}"
    return os.environ.setdefault(HOLDER_VARIABLE, name)


def is_beside_another() -> bool:
    """Tell whether this worker was started to take over from one that still lives."""
    return bool(os.environ.get("DENZEL_BESIDE"))


def predecessors(settings: Settings) -> str:
    """Return what the names of the dead workers begin with that ran here; empty for none."""
    return "" if is_beside_another() else place(settings)


def place(settings: Settings) -> str:
    """Return what the names of all holders begin with that ran here, one after the other.

    Here is a container, or one of several local processes of the service.
    """
    return f"{settings.worker_name}/{socket.gethostname()}/{settings.denzel_replica}/"
