"""Give batches to the worker's processes, and take care of what becomes of them."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from billiard.exceptions import Terminated, WorkerLostError
from redis.exceptions import RedisError

from app.runtime.contract import CANCELLED, FAILURE, REVOKED, Outcome, failure_body
from app.runtime.gpus.errors import GpuContextLost, GpuFailed
from app.runtime.pipeline.time_limit import too_long
from app.runtime.requests.outcomes import Ended, OutcomeStore
from app.runtime.requests.worker_queue import WorkerQueue
from app.runtime.settings import Settings
from app.runtime.worker import events
from app.runtime.worker.batch import Batch, Batches, PredictionRequest, Told
from app.runtime.worker.batch_size import BatchSize
from app.runtime.worker.measurements import Measurements
from app.runtime.worker.process_tree import end_process
from app.runtime.worker.run_batch import BatchResult, WorkItem, run_batch

log = logging.getLogger("denzel.runner")


class Runner:
    """Runs batches in the processes of ``consumer``'s pool; ``on_free`` is called as one is free.

    Lives in the worker's main process, which outlives those that predict.
    """

    def __init__(
        self,
        settings: Settings,
        consumer: Any,
        batches: Batches,
        queue: WorkerQueue,
        outcomes: OutcomeStore,
        size: BatchSize,
        on_free: Callable[[], None],
        measurements: Measurements,
    ) -> None:
        self._settings = settings
        self._consumer = consumer
        self._batches = batches
        self._queue = queue
        self._outcomes = outcomes
        self._size = size
        self._on_free = on_free
        self._measurements = measurements

    def start(self, batch: Batch) -> None:
        """Give a batch to the pool."""
        self._batches.add(batch)
        # The pool releases it for each result.
        self._consumer.controller.semaphore.acquire(self._submit, batch)
        # While the process has begun:
        events.tell_received(batch)
        self._measurements.taken(batch)

    def _submit(self, batch: Batch) -> None:
        is_shown = batch.told is Told.EACH
        job = self._consumer.pool.apply_async(
            run_batch,
            args=(work_items(batch.requests), batch.is_sync, is_shown),
            accept_callback=batch.begin,
            callback=partial(self._succeeded, batch),
            error_callback=partial(self._failed, batch),
            correlation_id=batch.id,
        )
        if job is not None:  # else the pool is closing, and the batch is put back
            batch.submitted(job)
            self._write_now()

    def _write_now(self) -> None:
        """Have a free process be given its job at once.

        Celery would ask the kernel first which processes' pipes can be written to, a turn of the
        event loop later; that of a process that has nothing to do can.  A lone request is answered
        a tenth sooner.  The names are Celery's own (celery/concurrency/asynpool.py).
        """
        pool = self._consumer.pool._pool
        free = pool._all_inqueues - pool._busy_workers - pool._active_writes
        if free:
            self._consumer.hub.consolidate_callback(list(free))

    def _succeeded(self, batch: Batch, result: BatchResult) -> None:
        self._batches.remove(batch)
        if result.seconds:
            self._size.observe(
                len(batch.requests), result.seconds, has_predict_batch=result.has_predict_batch
            )
        self._on_free()  # first things first
        self._measurements.ended(batch, result)
        events.tell_finished(batch, result.seconds, result.results)

    def _failed(self, batch: Batch, failure: Any) -> None:
        """Take care of what a process left behind when it died, was killed, or could not finish."""
        self._batches.remove(batch)
        self._measurements.lost(batch)
        error = failure.exception
        error = getattr(error, "exc", error)  # billiard's ExceptionWithTraceback
        # SystemExit: billiard 4.3 tells of some exits before the process has ended.
        if isinstance(error, (WorkerLostError, Terminated, SystemExit)):
            self._recover(batch, process_died(1))
        elif isinstance(error, GpuContextLost) and batch.pid is not None:
            log.error("Process %d is replaced: it lost its GPU's context (%s)", batch.pid, error)
            end_process(batch.pid)
            batch.gpu_failed = isinstance(error, GpuFailed)
            self._recover(batch, error)
        else:
            log.error("A batch could not be finished: %r", error, exc_info=error)
        events.tell_lost(batch, error)
        self._on_free()

    def _recover(self, batch: Batch, error: BaseException) -> None:
        """Try the requests of a process that died again, each alone; or end the guilty one.

        One that was alone fails if it ran too long or its client waits, else it is tried again as
        often as the settings say.
        """
        left = [each for each in batch.requests if not each._already_revoked]
        most = self._settings.max_deliveries
        try:
            if len(batch.requests) > 1 or (batch.gpu_failed and batch.is_sync):
                self.put_back(left, is_begun=True)
            elif left and batch.is_overdue:
                self.fail(left, too_long(self._settings.prediction_timeout))
            elif left and batch.is_sync:
                self.fail(left, error)
            elif left and isinstance(error, GpuContextLost) and left[0].deliveries >= most:
                self.fail(left, error)  # else it would be told only how often it was tried
            else:
                self.put_back(left, is_begun=True)
        except RedisError as error:  # what Redis still has as held is put back later (leases.py)
            log.warning("Requests of a dead process are not put back yet: %s", error)

    def put_back(self, requests: Sequence[PredictionRequest], *, is_begun: bool) -> None:
        """Put requests back on their queues, before all others.  Raises RedisError."""
        waiting = [each for each in requests if each.is_sync]
        accepted = [each.id for each in requests if not each.is_sync]
        self._queue.requeue(accepted, is_begun=is_begun)
        self._queue.requeue_sync(
            [each.id for each in waiting], [each.encoded for each in waiting], is_begun=is_begun
        )

    def fail(self, requests: Sequence[PredictionRequest], error: BaseException) -> None:
        """End requests as failed.  Raises RedisError."""
        self._end(requests, FAILURE, failure_body(error))

    def revoke(self, requests: Sequence[PredictionRequest]) -> None:
        """End requests as revoked.  Raises RedisError."""
        self._end(requests, REVOKED, CANCELLED)

    def _end(self, requests: Sequence[PredictionRequest], state: str, body: bytes) -> None:
        """End requests of one batch, whose clients wait, or are all to be called back."""
        ended = [
            Ended(Outcome(each.id, state, body), each.api, each.owner, self._callback_uri(each))
            for each in requests
        ]
        if requests[0].is_sync:
            large = [each.id for each in requests if each.payload is None]
            self._outcomes.finish_sync(ended, large)
        else:
            self._outcomes.finish(ended)

    def _callback_uri(self, request: PredictionRequest) -> str | None:
        if request.is_sync or request.payload is not None:
            return request.callback_uri
        stored = self._outcomes.stored_request(request.id)  # it is large
        return None if stored is None else stored[0]


def work_items(requests: Sequence[PredictionRequest]) -> list[WorkItem]:
    """Return requests as a process is given them."""
    return [
        WorkItem(each.id, each.payload, each.api, each.owner, each.callback_uri, each.streams)
        for each in requests
    ]


def process_died(times: int) -> WorkerLostError:
    """Return the error of a request whose worker process died ``times`` times over it."""
    often = "" if times == 1 else f" {times} times"
    return WorkerLostError(f"the worker process died{often} during the prediction")
