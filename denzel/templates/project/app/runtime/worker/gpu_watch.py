"""Give each pool process its GPU, and look after the GPUs: their memory, their use, their loss."""

from __future__ import annotations

import itertools
import logging
import threading
import time
from collections.abc import Mapping, Sequence
from typing import Any

from app.runtime.gpus.devices import Gpu, show_alone
from app.runtime.gpus.nvml import Nvml, NvmlError, Reading
from app.runtime.worker.batch import batches
from app.runtime.worker.process_tree import end_process

READ_SECONDS = 2.0
BELIEVED_SECONDS = 15.0
"""How long what was read last counts, if the driver keeps the next answer waiting."""

log = logging.getLogger("denzel.gpu")


class GpuWatch:
    """Lives in the worker's main process.

    The pool's process in place ``i`` has the GPU ``i`` modulo their number, and so has the one that
    replaces it.  NVML is asked in a thread, since a GPU in trouble may keep it waiting.
    """

    def __init__(self, gpus: Sequence[Gpu]) -> None:
        self._gpus = gpus
        self._readings: Mapping[str, Reading] = {}
        self._read_at = 0.0
        self._lost: set[str] = set()

    def begin(self) -> None:
        """Read the GPUs from now on."""
        if any(gpu.uuid for gpu in self._gpus):
            threading.Thread(target=self._read_on, name="gpus", daemon=True).start()

    def show_next(self, sender: Any, **_: object) -> None:
        """Show the process that ``sender``, Celery's pool, is about to start its GPU alone.

        Its place is the first free one (``_avail_index`` in billiard/pool.py).
        """
        if self._gpus:
            taken = {process.index for process in sender._pool}
            place = next(each for each in itertools.count() if each not in taken)
            show_alone(self._gpu(place))

    def look(self, processes: Mapping[int, int]) -> list[dict[str, Any]]:
        """Return how each GPU is, and end the processes on one that is lost.

        ``processes`` are process ids by their places.  What they were asked for is tried elsewhere;
        those that replace them find the GPU lost, or back again (``processes.py``).
        """
        is_old = time.monotonic() - self._read_at > BELIEVED_SECONDS
        readings = {} if is_old else self._readings
        return [self._describe(gpu, readings.get(gpu.uuid), processes) for gpu in self._gpus]

    def _gpu(self, place: int) -> Gpu:
        return self._gpus[place % len(self._gpus)]

    def _describe(
        self, gpu: Gpu, reading: Reading | None, processes: Mapping[int, int]
    ) -> dict[str, Any]:
        pids = [pid for place, pid in sorted(processes.items()) if self._gpu(place) is gpu]
        if reading is not None:
            self._note_loss(gpu, reading.problem, pids)
        reading = reading or Reading()
        return {
            "label": gpu.label, "name": gpu.name, "uuid": gpu.uuid or None,
            "memory_used_bytes": reading.memory_used, "memory_total_bytes": reading.memory_total,
            "utilization_percent": reading.utilization_percent,
            "problem": reading.problem, "pids": pids,
        }  # fmt: skip

    def _note_loss(self, gpu: Gpu, problem: str, pids: Sequence[int]) -> None:
        if problem and gpu.uuid not in self._lost:
            self._lost.add(gpu.uuid)
            log.error("%s, %s, is lost (%s): its processes are ended, and what they were at is "
                      "done on other GPUs", gpu, gpu.uuid, problem)  # fmt: skip
            _end(pids)
        elif gpu.uuid in self._lost and not problem:
            self._lost.discard(gpu.uuid)
            log.warning("%s, %s, is back", gpu, gpu.uuid)

    def _read_on(self) -> None:
        """Read in one session until a GPU is lost: only a new session learns that it is back."""
        wait = threading.Event().wait
        is_told = False
        while True:
            try:
                with Nvml() as nvml:
                    is_told = False
                    self._read(nvml)
                    while not any(each.problem for each in self._readings.values()):
                        wait(READ_SECONDS)
                        self._read(nvml)
            except NvmlError as error:
                if not is_told:
                    log.warning("Memory and use of the GPUs are not known: %s", error)
                is_told, self._readings = True, {}
            wait(READ_SECONDS)

    def _read(self, nvml: Nvml) -> None:
        self._readings = {gpu.uuid: nvml.read(gpu.uuid) for gpu in self._gpus if gpu.uuid}
        self._read_at = time.monotonic()


def _end(pids: Sequence[int]) -> None:
    for batch in batches.running():
        batch.gpu_failed = batch.gpu_failed or batch.pid in pids
    for pid in pids:
        end_process(pid)
