"""Run Celery's worker with what denzel adds to it."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import redis
from billiard.exceptions import WorkerLostError
from celery import signals
from celery.worker import state as celery_state

from app.runtime.pipeline.plan import Plan
from app.runtime.pipeline.time_limit import too_long
from app.runtime.settings import Settings
from app.runtime.worker import inspection  # noqa: F401 - adds a command
from app.runtime.worker.context import connect
from app.runtime.worker.logs import rotate_log
from app.runtime.worker.orphans import adopt_orphans
from app.runtime.worker.pool_watch import PoolWatch
from app.runtime.worker.recovery import Recovery
from app.runtime.worker.stopping import Stopper
from app.tasks import celery_app

STOP_CHECK_SECONDS = 0.25


def serve(settings: Settings, plan: Plan) -> None:
    """Run the worker until it is told to stop."""
    if not plan.shared:
        celery_app.conf.worker_pool_start_method = "spawn"
    adopt_orphans()
    watch = PoolWatch(settings, plan)
    _connect_signals(settings, plan, watch)
    try:
        celery_app.worker_main(worker_arguments(settings, plan.processes))
    finally:
        watch.end()


def worker_arguments(settings: Settings, processes: int) -> list[str]:
    """Return the arguments of ``celery worker``."""
    return [
        "worker", "--hostname", settings.worker_name, "--concurrency", str(processes),
        "--pool", "prefork", "--loglevel", settings.log_level, "--task-events",
        "--without-gossip", "--without-mingle",
    ]  # fmt: skip


def _connect_signals(settings: Settings, plan: Plan, watch: PoolWatch) -> None:
    """Do what the worker's main process must do regularly, and when something dies."""
    store, ledger = connect(settings)
    recovery = Recovery(store, ledger)
    stopper = Stopper(ledger, settings.prediction_timeout)

    def beat(**_: object) -> None:
        rotate_log()
        stopper.end_overdue(list(celery_state.active_requests))
        recovery.tick([*celery_state.reserved_requests, *celery_state.active_requests])
        with suppress(redis.RedisError):  # Celery's own connection reports it
            store.announce(settings.worker_name, plan.processes)

    def end_cancelled_soon(sender: Any, **_: object) -> None:
        def look() -> None:
            with suppress(redis.RedisError):  # Celery's own connection reports it
                stopper.end_cancelled(celery_state.active_requests)

        sender.hub.call_repeatedly(STOP_CHECK_SECONDS, look)

    def withdraw(**_: object) -> None:
        with suppress(redis.RedisError):
            store.withdraw(settings.worker_name)

    def recover(exception: BaseException, task_id: str, args: Sequence[Any], **_: object) -> None:
        if task_id in stopper.overdue:
            stopper.overdue.discard(task_id)
            recovery.after_loss(too_long(settings.prediction_timeout), *args)
        elif isinstance(exception, WorkerLostError):
            recovery.after_loss(exception, *args)

    signals.setup_logging.connect(_keep_logging, weak=False)
    signals.worker_ready.connect(beat, weak=False)
    signals.worker_ready.connect(watch.begin, weak=False)
    signals.worker_shutting_down.connect(watch.on_shutting_down, weak=False)
    if settings.cancel_running:
        signals.worker_ready.connect(end_cancelled_soon, weak=False)
    signals.heartbeat_sent.connect(beat, weak=False)
    signals.worker_shutdown.connect(withdraw, weak=False)
    signals.task_failure.connect(recover, weak=False)


def _keep_logging(**_: object) -> None:
    """Answer Celery's question for a logging set-up: there is one."""
