"""End worker processes whose prediction was cancelled, or takes too long.

Nothing else stops code that does not return to the interpreter.  A request that was cancelled is
REVOKED by then (``requests/cancellation.py``), so nothing is left to do for it; those of its batch
are tried again, as after any death of a process (``runner.py``).
"""

from __future__ import annotations

import logging
import os
import signal
import time
from collections.abc import Callable
from contextlib import suppress

from app.runtime.pipeline.time_limit import GRACE_SECONDS
from app.runtime.requests.worker_queue import WorkerQueue
from app.runtime.worker.batch import Batch, Batches
from app.runtime.worker.process_tree import end_process

log = logging.getLogger("denzel.stopping")


class Stopper:
    """Lives in the worker's main process; ``timeout`` is in seconds, 0 for none."""

    def __init__(
        self,
        queue: WorkerQueue,
        batches: Batches,
        timeout: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._queue = queue
        self._batches = batches
        self._timeout = timeout
        self._clock = clock
        self._cancelled: set[str] = set()

    def end_overdue(self) -> None:
        """End the processes whose batches should have ended.

        The clock stands still while the machine is suspended.
        """
        if not self._timeout:
            return
        latest = self._clock() - self._timeout - GRACE_SECONDS
        for batch in self._batches.running():
            if batch.pid is not None and batch.started is not None and batch.started < latest:
                log.error("Ending process %d, whose task %s takes too long", batch.pid, batch.id)
                batch.is_overdue = True
                end_process(batch.pid)

    def end_cancelled(self) -> None:
        """End the processes that predict for cancelled requests.  Raises RedisError."""
        self._cancelled.update(self._queue.take_cancelled())
        if not self._cancelled:
            return
        running = {
            task_id: batch for batch in self._batches.running() for task_id in batch.task_ids
        }
        for task_id in list(self._cancelled):
            if not self._queue.is_stopping(task_id):
                self._cancelled.discard(task_id)  # it has ended by itself, or was not found
            elif task_id in running:
                self._end_cancelled(task_id, running[task_id])
                self._cancelled.discard(task_id)

    def _end_cancelled(self, task_id: str, batch: Batch) -> None:
        """End a process, if it is still at that request and not at the next one.

        While it is held it can neither finish this request nor begin another.
        """
        assert batch.pid is not None  # it is running
        with suppress(ProcessLookupError):
            os.kill(batch.pid, signal.SIGSTOP)
            try:
                if self._queue.is_stopping(task_id):
                    log.warning(
                        "Ending process %d, whose task %s was cancelled", batch.pid, task_id
                    )
                    os.kill(batch.pid, signal.SIGKILL)
            finally:
                os.kill(batch.pid, signal.SIGCONT)
