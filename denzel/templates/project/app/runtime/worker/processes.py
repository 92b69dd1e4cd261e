"""Make a new pool process ready to predict: an ordinary process, with a model.

Celery's prefork pool starts its processes daemonic, and a forked one has the random numbers of its
parent before it.
"""

from __future__ import annotations

import logging
import os
import random
import signal
import sys
import time
from multiprocessing.process import AuthenticationString  # type: ignore[attr-defined]

from billiard.process import current_process

from app.runtime import state
from app.runtime.gpus.devices import own_gpu, why_lost
from app.runtime.pipeline.loading import PipelineError
from app.runtime.pipeline.trial import warm_up
from app.runtime.settings import Settings, load_settings
from app.runtime.worker.context import current_context, has_context, set_context, warms_up
from app.runtime.worker.logs import configure_logging
from app.runtime.worker.model_loading import load_context, load_limit
from app.runtime.worker.report import write_process_state
from app.runtime.worker.spans import prepare_tracing
from app.runtime.worker.stall import show_stacks_on_request

RETRY_AFTER_SECONDS = 30.0

log = logging.getLogger("denzel.model")


def prepare_process() -> None:
    """Make this pool process ready to predict: it may load the model, and predict for EXAMPLE.

    When that fails, the process shows why, waits, and ends; Celery replaces it and so tries again.
    """
    _allow_children()
    settings = load_settings()
    show_stacks_on_request(settings.denzel_run_dir)
    if has_context():
        reseed_generators()
        if warms_up():
            _make_ready(settings, current_process().index, loads=False)
    else:
        configure_logging()
        _make_ready(settings, current_process().index, loads=True)


def _allow_children() -> None:
    """Let multiprocessing start children here, which it refuses to daemonic processes.

    billiard puts its own process object in place of multiprocessing's, with a key that only
    billiard can hand on.  Its signal handlers, which a fork would inherit, wind up a pool process:
    in a child they wait for threads it does not have.
    """
    os.register_at_fork(after_in_child=_reset_signals)
    settings = current_process()._config
    settings["daemon"] = False
    settings["authkey"] = AuthenticationString(bytes(settings["authkey"]))


def _reset_signals() -> None:
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1):
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)


def reseed_generators() -> None:
    """Seed the global generators of Python, NumPy and PyTorch apart from other forks'."""
    random.seed()
    if "numpy.random" in sys.modules:
        sys.modules["numpy.random"].seed()
    if "torch" in sys.modules:
        sys.modules["torch"].seed()


def _make_ready(settings: Settings, index: int, *, loads: bool) -> None:
    """Load the model, if this process has none yet, and predict for EXAMPLE, if there is one."""
    gpu = own_gpu()
    try:
        if gpu and (lost := why_lost(gpu)):
            raise PipelineError(f"it is lost ({lost}); see the machine's kernel log (dmesg)")
        write_process_state(index, os.getpid(), state.LOADING)
        if loads:
            set_context(load_context(settings))
        context = current_context()
        prepare_tracing(context.project)
        with load_limit(settings.model_load_timeout):
            warm_up(context.pipeline, context.model)
    except PipelineError as error:
        where = str(gpu) if gpu else f"process {index + 1}"
        log.error("%s: %s", where, error, exc_info=error.__cause__)
        write_process_state(index, os.getpid(), state.ERROR, f"{where}: {error}")
        time.sleep(RETRY_AFTER_SECONDS)  # SIGTERM ends the wait: children keep its default
        raise SystemExit(1) from error
    write_process_state(index, os.getpid(), state.UP)
