"""Start the worker: decide how to run the model, load it, then serve predictions."""

from __future__ import annotations

import logging
from dataclasses import replace

from app.runtime import state
from app.runtime.gpus.devices import NoGpu, find_gpus
from app.runtime.pipeline.loading import PipelineError
from app.runtime.settings import Settings, load_settings
from app.runtime.worker.announcer import announce_failure, announce_loading
from app.runtime.worker.logs import configure_logging
from app.runtime.worker.model_loading import choose_plan, load_shared_model
from app.runtime.worker.orphans import end_leftovers
from app.runtime.worker.report import forget_processes

RETRY_AFTER_SECONDS = 30.0

log = logging.getLogger("denzel.worker")


def main() -> int:
    """Run the worker until it is told to stop; return the process's exit code."""
    settings = load_settings()
    configure_logging()
    forget_processes(settings.denzel_run_dir)
    state.write_state(state.WORKER, state.LOADING)
    state.write_state("denzel", state.UP)
    end_leftovers(settings.denzel_run_dir)
    try:
        gpus = find_gpus() if settings.gpu else []
        plan = choose_plan(settings, len(gpus))
        announce_loading(settings)
        # It imports app/tasks.py, where the user may import libraries that start threads.
        from app.runtime.worker.service import serve

        if plan.shared:
            plan = replace(plan, reason=load_shared_model(settings))
    except (PipelineError, NoGpu) as error:
        log.error("%s", error, exc_info=error.__cause__)
        return _fail(settings, str(error))
    log.info("%s", plan.summary)
    for gpu in gpus:
        log.info("Uses %s %s", gpu, gpu.uuid)
    serve(settings, plan, gpus)
    return 0


def _fail(settings: Settings, reason: str) -> int:
    """Show ERROR for a while, then end, so that the supervisor starts another try."""
    announce_failure(settings, reason, RETRY_AFTER_SECONDS)
    log.error("Another try in %.0f s, or at the next `denzel restart`", RETRY_AFTER_SECONDS)
    state.stay_in_error(state.WORKER, reason, RETRY_AFTER_SECONDS)
    return 1
