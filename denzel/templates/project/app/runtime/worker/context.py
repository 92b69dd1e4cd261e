"""What a worker process needs to predict: the pipeline, its model, the ways to Redis."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import redis

from app.runtime.pipeline.loading import Pipeline
from app.runtime.pipeline.time_limit import TimeLimit
from app.runtime.requests.ledger import Ledger
from app.runtime.requests.results import ResultStore
from app.runtime.settings import Settings

HOLDER_VARIABLE = "DENZEL_HOLDER"


@dataclass(frozen=True)
class WorkerContext:
    """One worker process's pipeline, model and ways to Redis.

    A request that was begun ``max_deliveries`` times without an outcome is given up.
    """

    pipeline: Pipeline
    model: Any
    store: ResultStore
    ledger: Ledger
    max_deliveries: int
    time_limit: TimeLimit


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
    store, ledger = connect(settings)
    limit = TimeLimit(settings.prediction_timeout)
    return WorkerContext(pipeline, model, store, ledger, settings.max_deliveries, limit)


def connect(settings: Settings) -> tuple[ResultStore, Ledger]:
    """Return this worker's store and ledger; no connection is opened yet.

    The worker's main process and the processes it starts are one holder in the ledger.
    """
    client = redis.Redis.from_url(
        settings.redis_url, socket_connect_timeout=5, socket_timeout=30, health_check_interval=25
    )
    holder = os.environ.setdefault(HOLDER_VARIABLE, f"{settings.worker_name}-{uuid4().hex}")
    ledger = Ledger(client, holder, settings.recovery_seconds)
    return ResultStore(client, settings.redis_url, settings.result_ttl), ledger
