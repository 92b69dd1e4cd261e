"""Run Celery's worker with what denzel adds to it."""

from __future__ import annotations

import os
from collections.abc import Sequence

from celery import signals

from app.runtime.gpus.devices import Gpu
from app.runtime.pipeline.plan import Plan
from app.runtime.settings import Settings
from app.runtime.worker import inspection  # noqa: F401 - adds a command
from app.runtime.worker.gpu_watch import GpuWatch
from app.runtime.worker.logs import rotate_log
from app.runtime.worker.naming import claim_name
from app.runtime.worker.orphans import adopt_orphans
from app.runtime.worker.pool_watch import PoolWatch
from app.tasks import celery_app


def serve(settings: Settings, plan: Plan, gpus: Sequence[Gpu]) -> None:
    """Run the worker, whose processes share the GPUs, until it is told to stop."""
    if not plan.shared:
        celery_app.conf.worker_pool_start_method = "spawn"
    adopt_orphans()
    gpu_watch = GpuWatch(gpus)
    signals.worker_before_create_process.connect(gpu_watch.show_next, weak=False)
    name = claim_name(settings)
    watch = PoolWatch(settings, plan, name, gpu_watch)
    _connect_signals(watch)
    try:
        celery_app.worker_main(worker_arguments(settings, name, plan.processes))
    finally:
        watch.end()


def worker_arguments(settings: Settings, name: str, processes: int) -> list[str]:
    """Return the arguments of ``celery worker``."""
    return [
        "--quiet", "worker", "--hostname", name, "--concurrency", str(processes),
        "--pool", "prefork", "--loglevel", settings.log_level, "--task-events",
        "--without-gossip", "--without-mingle",
    ]  # fmt: skip


def _connect_signals(watch: PoolWatch) -> None:
    """Do what the worker's main process must do regularly, besides serving predictions."""
    signals.setup_logging.connect(_keep_logging, weak=False)
    signals.worker_before_create_process.connect(_silence_start, weak=False)
    signals.worker_ready.connect(watch.begin, weak=False)
    signals.worker_shutting_down.connect(watch.on_shutting_down, weak=False)
    signals.heartbeat_sent.connect(rotate_log, weak=False)


def _keep_logging(**_: object) -> None:
    """Answer Celery's question for a logging set-up: there is one."""


def _silence_start(**_: object) -> None:
    """Keep fresh interpreters from logging their start in another format (billiard/spawn.py)."""
    os.environ.pop("_MP_FORK_LOGLEVEL_", None)
