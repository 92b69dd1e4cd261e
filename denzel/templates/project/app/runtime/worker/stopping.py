"""End worker processes whose prediction was cancelled, or takes too long.

Nothing else stops code that does not return to the interpreter.  A request that was cancelled
is REVOKED by then (``cancellation.py``), so nothing is left to do for it; those that travelled
with it are tried again, as after any death of a process (``recovery.py``).
"""

from __future__ import annotations

import logging
import os
import signal
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any

from app.runtime.contract import INVOKE_PREDICT
from app.runtime.pipeline.time_limit import GRACE_SECONDS
from app.runtime.requests.ledger import Ledger
from app.runtime.store.codecs import decode_requests

log = logging.getLogger("denzel.stopping")


class Stopper:
    """Lives in the worker's main process; ``timeout`` is in seconds, 0 for none.

    ``overdue`` holds the ids of Celery's tasks that took too long, until they are asked for.
    """

    def __init__(
        self, ledger: Ledger, timeout: float, clock: Callable[[], float] = time.time
    ) -> None:
        self.overdue: set[str] = set()
        self._ledger = ledger
        self._timeout = timeout
        self._clock = clock
        self._cancelled: set[str] = set()

    def end_overdue(self, running: Iterable[Any]) -> None:
        """End the processes of tasks that should have ended; ``running`` are Celery's requests."""
        if not self._timeout:
            return
        latest = self._clock() - self._timeout - GRACE_SECONDS
        for task in running:
            if task.name == INVOKE_PREDICT and task.worker_pid and task.time_start < latest:
                log.error(
                    "Ending process %d, whose task %s takes too long", task.worker_pid, task.id
                )
                self.overdue.add(task.id)
                with suppress(ProcessLookupError):
                    os.kill(task.worker_pid, signal.SIGKILL)

    def end_cancelled(self, running: Iterable[Any]) -> None:
        """End the processes that predict for cancelled requests.  Raises RedisError."""
        self._cancelled.update(self._ledger.take_cancelled())
        if not self._cancelled:
            return
        pids = _processes(running)
        for task_id in list(self._cancelled):
            if not self._ledger.is_stopping(task_id):
                self._cancelled.discard(task_id)  # it has ended by itself, or was not found
            elif task_id in pids:
                self._end_cancelled(task_id, pids[task_id])
                self._cancelled.discard(task_id)

    def _end_cancelled(self, task_id: str, pid: int) -> None:
        """End a process, if it is still at that request and not at the next one.

        While it is held it can neither finish this request nor begin another.
        """
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGSTOP)
            try:
                if self._ledger.is_stopping(task_id):
                    log.warning("Ending process %d, whose task %s was cancelled", pid, task_id)
                    os.kill(pid, signal.SIGKILL)
            finally:
                os.kill(pid, signal.SIGCONT)


def _processes(running: Iterable[Any]) -> dict[str, int]:
    """Return the process id of each asynchronous request that is being predicted."""
    return {
        request.id: task.worker_pid
        for task in running
        if task.name == INVOKE_PREDICT and task.worker_pid
        for request in decode_requests(task.args[0])
        if request.is_async
    }
