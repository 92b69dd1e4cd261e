"""Load the model: once for all processes, or in each process for itself.

The worker's main process loads the model first, with as many threads as a process may have.  If
it has one thread afterwards, the others are forked from it and share the model's memory.  If not,
a fork could wait for ever for threads it does not have: the main process starts over without the
model, and each process loads a copy of its own in a fresh interpreter.  CUDA does not survive a
fork either (pytorch #40403), so GPUs take this second way at once.
"""

from __future__ import annotations

import faulthandler
import gc
import logging
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

from app.runtime.pipeline.loading import import_pipeline, load_model
from app.runtime.pipeline.plan import FORK, Plan, own_copies, plan_processes
from app.runtime.pipeline.threads import limit_threads, why_not_forkable
from app.runtime.settings import Settings, available_processors
from app.runtime.worker.context import WorkerContext, create_context, set_context
from app.runtime.worker.orphans import adopt_orphans, end_children

NOT_FORKABLE_VARIABLE = "DENZEL_NOT_FORKABLE"
"""Holds why a worker that has started over does not fork."""
GRACE_SECONDS = 10.0

log = logging.getLogger("denzel.model")

_environment_at_start: dict[str, str] = {}


def choose_plan(settings: Settings, gpus: int) -> Plan:
    """Return how many processes and threads this worker starts with, and limit its threads.

    ``gpus`` is how many it may use, with GPU=1.  Called before anything of the user's is imported.
    """
    _environment_at_start.update(os.environ)
    reason = os.environ.pop(NOT_FORKABLE_VARIABLE, "")
    if reason:
        plan = own_copies(settings, available_processors(), reason)
    else:
        plan = plan_processes(settings, available_processors(), gpus)
    limit_threads(plan.threads)
    return plan


def load_shared_model(settings: Settings) -> str:
    """Load the model in this process, for those that will be forked from it.

    Starts the worker over, and does not return, if the model cannot be shared.  Returns why sharing
    is a risk, if MODEL_SHARING=fork forced it.  Raises PipelineError when the pipeline is broken.
    """
    adopt_orphans()
    set_context(load_context(settings))
    reason = why_not_forkable()
    if reason and settings.model_sharing != FORK:
        _start_over(reason)
    if reason:
        log.warning("MODEL_SHARING=fork, although %s: predictions may wait for ever", reason)
    gc.collect()
    gc.freeze()  # what is loaded now stays in pages that the forked processes share
    return reason


def load_context(settings: Settings) -> WorkerContext:
    """Import the pipeline and load its model; raises PipelineError when either is broken."""
    with load_limit(settings.model_load_timeout):
        pipeline = import_pipeline()
        model: Any = load_model(pipeline)
    return create_context(settings, pipeline, model)


@contextmanager
def load_limit(seconds: float) -> Iterator[None]:
    """Raise TimeoutError in what runs longer; end the process if it does not come back then."""

    def ring(number: int, frame: object) -> None:
        raise TimeoutError(f"it took longer than MODEL_LOAD_TIMEOUT={seconds:g} seconds")

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    faulthandler.dump_traceback_later(seconds + GRACE_SECONDS, exit=True)
    try:
        yield
    finally:
        faulthandler.cancel_dump_traceback_later()
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def _start_over(reason: str) -> NoReturn:
    """Replace this process by one that has not loaded the model, with the same process id."""
    log.info("The model cannot be shared, because %s; each process will load its own", reason)
    log.info("MODEL_SHARING=none in .env saves this first load")
    end_children()  # those of load_model, of which there will be others
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    environment = {**_environment_at_start, NOT_FORKABLE_VARIABLE: reason}
    os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], environment)
