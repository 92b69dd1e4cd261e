"""Run Celery's worker with what denzel adds to it."""

from __future__ import annotations

from typing import Any

from celery import signals

from app.runtime.pipeline.plan import Plan
from app.runtime.settings import Settings
from app.runtime.worker import inspection  # noqa: F401 - adds a command
from app.runtime.worker.logs import rotate_log
from app.runtime.worker.report import Report
from app.tasks import celery_app

POOL_CHECK_SECONDS = 0.5


def serve(settings: Settings, plan: Plan) -> None:
    """Run the worker until it is told to stop."""
    if not plan.shared:
        celery_app.conf.worker_pool_start_method = "spawn"
    _connect_signals(settings, plan)
    celery_app.worker_main(worker_arguments(settings, plan.processes))


def worker_arguments(settings: Settings, processes: int) -> list[str]:
    """Return the arguments of ``celery worker``."""
    return [
        "worker", "--hostname", settings.worker_name, "--concurrency", str(processes),
        "--pool", "prefork", "--loglevel", settings.log_level, "--task-events",
        "--without-gossip", "--without-mingle",
    ]  # fmt: skip


def _connect_signals(settings: Settings, plan: Plan) -> None:
    """Do what the worker's main process must do regularly, besides serving predictions."""
    report = Report(settings.denzel_run_dir, plan)

    def watch_processes(sender: Any, **_: object) -> None:
        def look() -> None:
            # Celery looks for dead processes every 5 s, and when a process's pipe closes; but the
            # kernel closes that a moment before the process can be reaped, so about every second
            # death would wait for the next look.
            sender.pool.maintain_pool()
            pids = {process.pid for process in sender.pool._pool._pool}
            report.update(pids, sender.pool.num_processes, [])

        look()
        sender.hub.call_repeatedly(POOL_CHECK_SECONDS, look)

    signals.setup_logging.connect(_keep_logging, weak=False)
    signals.worker_ready.connect(watch_processes, weak=False)
    signals.heartbeat_sent.connect(rotate_log, weak=False)


def _keep_logging(**_: object) -> None:
    """Answer Celery's question for a logging set-up: there is one."""
