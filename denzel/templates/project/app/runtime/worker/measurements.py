"""What a worker's main process counts: a few additions for each batch, whoever looks at them."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from app.runtime.contract import FAILURE, SUCCESS
from app.runtime.metrics.recorder import ProcessReport, Recorder
from app.runtime.metrics.table import (
    ASYNC,
    BATCH_SIZE,
    PREDICTION_SECONDS,
    PREDICTIONS,
    QUEUE_SECONDS,
    SYNC,
)
from app.runtime.metrics.tally import Tally
from app.runtime.settings import Settings
from app.runtime.worker.batch import Batch
from app.runtime.worker.context import connect_main
from app.runtime.worker.run_batch import BatchResult

LOST = "LOST"


class Measurements:
    """Counts batches; ``pids`` returns the processes of the pool."""

    def __init__(self, settings: Settings, pids: Callable[[], Iterable[int]]) -> None:
        self._tally = Tally()
        report = ProcessReport("denzel", pids)
        self._recorder = Recorder(connect_main(settings), self._tally, report)

    def flush(self) -> None:
        """Hand on to Redis what was counted."""
        self._recorder.flush()

    def taken(self, batch: Batch) -> None:
        """Count a batch that was taken off a queue."""
        kind = _kind(batch)
        self._tally.observe(BATCH_SIZE, len(batch.requests), kind)
        for request in batch.requests:
            if request.deliveries == 1:  # else it has been taken before
                seconds = self._recorder.seconds_since(request.request_dict["sent"])
                if seconds is not None:
                    self._tally.observe(QUEUE_SECONDS, seconds, kind)

    def ended(self, batch: Batch, result: BatchResult) -> None:
        """Count what became of a batch."""
        kind = _kind(batch)
        told = [each[0] for each in result.results if each is not None]
        if succeeded := sum(told):
            self._tally.count(PREDICTIONS, kind, SUCCESS, by=succeeded)
        if failed := len(told) - succeeded:
            self._tally.count(PREDICTIONS, kind, FAILURE, by=failed)
        if result.seconds:
            self._tally.observe(PREDICTION_SECONDS, result.seconds, kind)

    def lost(self, batch: Batch) -> None:
        """Count a batch whose process died or could not finish."""
        self._tally.count(PREDICTIONS, _kind(batch), LOST, by=len(batch.requests))


def _kind(batch: Batch) -> str:
    return SYNC if batch.is_sync else ASYNC
