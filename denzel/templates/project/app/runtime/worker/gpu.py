"""GPUs: which this machine shows, and the start of a worker process on one of them.

CUDA does not survive a fork (pytorch #40403), so with GPU=1 Celery starts each worker process
afresh.  Each sees one GPU only, as its first and only device, and loads the model for itself.
"""

from __future__ import annotations

import logging
import os
import shutil
import subprocess
import time
from pathlib import Path

from billiard.process import current_process

from app.runtime import state
from app.runtime.pipeline.loading import PipelineError
from app.runtime.settings import load_settings
from app.runtime.worker.equipment import Equipment, load_equipment

GPUS_VARIABLE = "DENZEL_GPUS"
RETRY_AFTER_SECONDS = 30.0

log = logging.getLogger("denzel.gpu")


def visible_gpus() -> list[str]:
    """Return the GPUs this process may use, as CUDA_VISIBLE_DEVICES names them."""
    chosen = os.environ.get("CUDA_VISIBLE_DEVICES")
    if chosen is not None:
        return [gpu for gpu in chosen.split(",") if gpu.strip() not in ("", "-1")]
    program = shutil.which("nvidia-smi")
    if program is None:
        return []
    command = [program, "--query-gpu=uuid", "--format=csv,noheader"]
    listing = subprocess.run(command, capture_output=True, text=True)
    return listing.stdout.split() if listing.returncode == 0 else []


def load_on_own_gpu() -> Equipment:
    """Bind this spawned worker process to its GPU and load the model there.

    When that fails, the process shows why, waits, and ends; Celery replaces it and so tries
    again.
    """
    settings = load_settings()
    index = current_process().index
    gpus = os.environ[GPUS_VARIABLE].split(",")
    os.environ["CUDA_VISIBLE_DEVICES"] = gpus[index % len(gpus)]
    state.write_state(_child(index), state.LOADING)
    _show_worker_state(settings.denzel_run_dir)
    try:
        equipment = load_equipment(settings)
    except PipelineError as error:
        log.error("%s", error, exc_info=error.__cause__)
        state.write_state(_child(index), state.ERROR, str(error))
        _show_worker_state(settings.denzel_run_dir)
        time.sleep(RETRY_AFTER_SECONDS)  # SIGTERM ends the wait: children keep its default
        raise SystemExit(1) from error
    state.write_state(_child(index), state.UP)
    _show_worker_state(settings.denzel_run_dir)
    return equipment


def forget_children(run_directory: str) -> None:
    """Remove what the processes of an earlier run recorded."""
    for path in Path(run_directory).glob("gpu-process-*.json"):
        path.unlink(missing_ok=True)


def _child(index: int) -> str:
    return f"gpu-process-{index}"


def _show_worker_state(run_directory: str) -> None:
    """Sum up the processes' states in the worker's: UP when every GPU's process is."""
    expected = len(os.environ[GPUS_VARIABLE].split(","))
    found = [state.read_state(path) for path in Path(run_directory).glob("gpu-process-*.json")]
    failed = [detail for value, detail in found if value == state.ERROR]
    loaded = sum(value == state.UP for value, _ in found)
    if failed:
        state.write_state(state.WORKER, state.ERROR, failed[0])
    else:
        done = loaded >= expected
        state.write_state(state.WORKER, state.UP if done else state.LOADING)
