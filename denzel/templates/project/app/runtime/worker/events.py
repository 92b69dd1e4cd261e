"""What Flower is told: of each request while they are few, of some batches beyond that.

Three events for each request cost a worker more than most predictions: 4,700 requests a second
where events for each batch allow 8,500 (iris, two processors).  Where a batch is a single request,
as when one client asks again and again, the worker and Flower used a quarter of all processor time
for them.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

from app.runtime.worker.batch import Batch, PredictionRequest, Told

EACH_PER_SECOND = 250
"""Requests a second up to which each is told of."""
BATCH_SECONDS = 0.05
"""Beyond that, a batch is told of when the last one was so long ago."""
SHOWN_CHARACTERS = 1000


class EventRate:
    """Chooses what is told of, by how many requests come; ``clock`` gives seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._second = 0
        self._count = 0
        self._count_before = 0
        self._batch_told = -BATCH_SECONDS

    def choose(self, requests: int) -> Told:
        """Count the requests of a batch; return what of it is told of.

        They are many when more came in this second, or in the last one, than are told of.
        """
        now = self._clock()
        second = int(now)
        if second != self._second:
            self._count_before = self._count if second == self._second + 1 else 0
            self._second, self._count = second, 0
        self._count += requests
        if max(self._count, self._count_before) <= EACH_PER_SECOND:
            return Told.EACH
        if now - self._batch_told < BATCH_SECONDS:
            return Told.NOTHING
        self._batch_told = now
        return Told.BATCH if requests > 1 else Told.EACH


def tell_received(batch: Batch) -> None:
    """Tell that requests were taken off their queue."""
    if batch.told is Told.EACH:
        for request in batch.requests:
            request.send_event("task-received", **_received(request, request.argsrepr))
        return
    for request in batch.requests[1:] if batch.told is Told.BATCH else batch.requests:
        request.eventer = None
    if batch.told is Told.BATCH:
        first = batch.requests[0]
        shown = f"{len(batch.requests)} requests"
        first.send_event("task-received", **_received(first, shown))


def _received(request: PredictionRequest, shown: str) -> dict[str, Any]:
    headers = request.request_dict
    expires = None
    if "timeout" in headers:
        moment = datetime.fromtimestamp(headers["sent"] + headers["timeout"], UTC)
        expires = moment.isoformat()
    return {
        "name": request.name, "args": shown, "kwargs": "{}", "root_id": request.root_id,
        "parent_id": None, "retries": request.deliveries - 1, "eta": None, "expires": expires,
    }  # fmt: skip


def tell_finished(batch: Batch, seconds: float, results: Sequence[tuple[bool, str] | None]) -> None:
    """Tell what became of requests: of each, whether it succeeded, and what to show.

    None is for one that had ended before, of which nothing is told.
    """
    if batch.told is Told.NOTHING:
        return
    if batch.told is Told.EACH:
        for request, result in zip(batch.requests, results, strict=True):
            if result is not None:
                succeeded, shown = result
                _tell(request, seconds, shown[:SHOWN_CHARACTERS], succeeded=succeeded)
        return
    ended = [each for each in results if each is not None]
    count = sum(succeeded for succeeded, _ in ended)
    _tell(batch.requests[0], seconds, f"{count} of {len(ended)} succeeded", succeeded=count > 0)


def tell_lost(batch: Batch, error: BaseException) -> None:
    """Tell that a process died, or could not do its work."""
    for request in batch.requests:
        request.send_event("task-failed", exception=repr(error), traceback="")


def _tell(request: PredictionRequest, seconds: float, shown: str, *, succeeded: bool) -> None:
    if succeeded:
        request.send_event("task-succeeded", result=shown, runtime=seconds)
    else:
        request.send_event("task-failed", exception=shown, traceback="")
