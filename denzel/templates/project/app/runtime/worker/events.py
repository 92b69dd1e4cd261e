"""What Flower is told: of each request while they are few, of batches beyond that.

Three events for each request cost a worker more than most predictions: 4,700 requests a second
where one event for a batch allows 8,500 (iris, two processors).
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from app.runtime.worker.batch import Batch, PredictionRequest

EACH_PER_SECOND = 250.0
"""Requests a second up to which each is told of."""
SHOWN_CHARACTERS = 1000


class EventRate:
    """Allows so many requests a second to be told of one by one."""

    def __init__(self) -> None:
        self._allowed = EACH_PER_SECOND
        self._at = time.monotonic()

    def allows(self, requests: int) -> bool:
        """Tell whether each of these requests may be told of, and count them."""
        now = time.monotonic()
        self._allowed = min(EACH_PER_SECOND, self._allowed + EACH_PER_SECOND * (now - self._at))
        self._at = now
        if requests > self._allowed:
            return False
        self._allowed -= requests
        return True


def tell_received(batch: Batch) -> None:
    """Tell that requests were taken off their queue."""
    first = batch.requests[0]
    if batch.is_told:
        for request in batch.requests:
            request.send_event("task-received", **_received(request, request.argsrepr))
    else:
        for request in batch.requests[1:]:
            request.eventer = None
        shown = f"{len(batch.requests)} requests" if len(batch.requests) > 1 else first.argsrepr
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
    if batch.is_told or len(batch.requests) == 1:
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
