"""Start the Celery worker: load the model, then serve ``invoke_predict`` tasks.

On a CPU the model is loaded here, before Celery forks, so that all worker processes share its
memory.  On GPUs each process loads it for itself: see ``app/runtime/worker/gpu.py``.
"""

from __future__ import annotations

import gc
import logging
import logging.handlers
import os
import signal
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import redis
from billiard.exceptions import WorkerLostError
from celery import signals
from celery.worker import state as celery_state

from app.runtime import state
from app.runtime.pipeline.loading import PipelineError
from app.runtime.pipeline.time_limit import too_long
from app.runtime.settings import Settings, available_processors, load_settings
from app.runtime.worker.equipment import connect, load_equipment
from app.runtime.worker.gpu import GPUS_VARIABLE, forget_children, visible_gpus
from app.runtime.worker.recovery import Recovery
from app.runtime.worker.stopping import Stopper
from app.tasks import celery_app, equip

LOG_FILE = Path("logs/worker.log")
LOG_FORMAT = "[%(asctime)s: %(levelname)s/%(processName)s] %(message)s"
LOG_BYTES = 10 * 2**20
RETRY_AFTER_SECONDS = 30.0
POOL_CHECK_SECONDS = 0.5
STOP_CHECK_SECONDS = 0.25

log = logging.getLogger("denzel.worker")


def main() -> int:
    """Run the worker until it is told to stop; return the process's exit code."""
    settings = load_settings()
    configure_logging()
    forget_children(settings.denzel_run_dir)
    state.write_state(state.WORKER, state.LOADING)
    state.write_state("denzel", state.UP)
    gpus = visible_gpus() if settings.gpu else []
    try:
        if settings.gpu:
            _prepare_gpus(gpus)
        else:
            equip(load_equipment(settings))
            gc.collect()
            gc.freeze()  # what is loaded now stays in pages that the forked processes share
            signals.worker_ready.connect(_show_up, weak=False)
    except PipelineError as error:
        log.error("%s", error, exc_info=error.__cause__)
        return _fail(str(error))
    processes = settings.worker_concurrency or len(gpus) or available_processors()
    _connect_signals(settings, processes)
    celery_app.worker_main(worker_arguments(settings, processes))
    return 0


def worker_arguments(settings: Settings, processes: int) -> list[str]:
    """Return the arguments of ``celery worker``."""
    return [
        "worker", "--hostname", settings.worker_name, "--concurrency", str(processes),
        "--pool", "prefork", "--loglevel", settings.log_level, "--task-events",
        "--without-gossip", "--without-mingle",
    ]  # fmt: skip


def configure_logging() -> None:
    """Log to stdout (the service's log) and to logs/worker.log."""
    level = load_settings().log_level.upper()
    LOG_FILE.parent.mkdir(exist_ok=True)
    # Every process's handler follows when rotate_log moves the file aside.
    file_handler = logging.handlers.WatchedFileHandler(LOG_FILE, encoding="utf-8")
    handlers: list[logging.Handler] = [logging.StreamHandler(sys.stdout), file_handler]
    logging.basicConfig(level=level, format=LOG_FORMAT, handlers=handlers, force=True)
    if level != "DEBUG":
        # Two lines a task would be gigabytes a day; prediction.py logs failures.
        logging.getLogger("celery.worker.strategy").setLevel(logging.WARNING)
        logging.getLogger("celery.app.trace").setLevel(logging.CRITICAL)


def rotate_log() -> None:
    """Move the log file aside when it has grown large; one older file is kept."""
    if LOG_FILE.exists() and LOG_FILE.stat().st_size > LOG_BYTES:
        LOG_FILE.replace(LOG_FILE.with_suffix(".log.1"))


def _replace_dead_processes_soon(sender: Any, **_: object) -> None:
    """Look for dead processes oftener than Celery's every 5 s.

    Celery also looks when a process's pipe closes, but the kernel closes that a moment before
    the process can be reaped, so about every second death would wait for the next look.
    """
    sender.hub.call_repeatedly(POOL_CHECK_SECONDS, sender.pool.maintain_pool)


def _connect_signals(settings: Settings, processes: int) -> None:
    """Do what the worker's main process must do regularly, and when something dies."""
    store, ledger = connect(settings)
    recovery = Recovery(store, ledger)
    stopper = Stopper(ledger, settings.prediction_timeout)

    def beat(**_: object) -> None:
        rotate_log()
        stopper.end_overdue(list(celery_state.active_requests))
        recovery.tick([*celery_state.reserved_requests, *celery_state.active_requests])
        with suppress(redis.RedisError):  # Celery's own connection reports it
            store.announce(settings.worker_name, processes)

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
    signals.worker_ready.connect(_replace_dead_processes_soon, weak=False)
    if settings.cancel_running:
        signals.worker_ready.connect(end_cancelled_soon, weak=False)
    signals.heartbeat_sent.connect(beat, weak=False)
    signals.worker_shutdown.connect(withdraw, weak=False)
    signals.task_failure.connect(recover, weak=False)


def _prepare_gpus(gpus: list[str]) -> None:
    if not gpus:
        raise PipelineError("GPU=1 in .env, but nvidia-smi shows no GPU here")
    os.environ[GPUS_VARIABLE] = ",".join(gpus)
    celery_app.conf.worker_pool_start_method = "spawn"


def _show_up(**_: object) -> None:
    state.write_state(state.WORKER, state.UP)


def _keep_logging(**_: object) -> None:
    """Answer Celery's question for a logging set-up: there is one."""


def _fail(reason: str) -> int:
    """Show ERROR for a while, then end, so that the supervisor starts another try."""
    stopped = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopped.set())
    state.write_state(state.WORKER, state.ERROR, reason)
    log.error("Another try in %.0f s, or at the next `denzel restart`", RETRY_AFTER_SECONDS)
    stopped.wait(RETRY_AFTER_SECONDS)
    return 1
