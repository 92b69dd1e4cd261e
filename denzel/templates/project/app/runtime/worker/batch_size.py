"""How many requests a process is given at once."""

from __future__ import annotations

UNBATCHED_SECONDS = 0.008
"""How long the requests take together that a process is given without predict_batch.

Handing them over costs about a millisecond whatever they are; more at once would only have them
wait for one another."""
MOST_UNBATCHED = 64
QUICK_SECONDS = 0.003
"""What a batch takes that costs more to hand over than to predict: the next may as well gather
until it has ended, and be larger.  Worth a quarter of the answers at 64 connections (two
processors, a model that does nothing)."""
WEIGHT = 0.2
"""Of the latest measurement in the moving average."""


class BatchSize:
    """Measures predictions.

    ``batch_max_size`` and ``batch_max_wait`` (seconds) are for pipelines with predict_batch.  Where
    each process loads the model, whether there is one shows with the first measurement.
    """

    def __init__(
        self, batch_max_size: int, batch_max_wait: float, *, has_predict_batch: bool
    ) -> None:
        self._batch_max_size = batch_max_size
        self._batch_max_wait = batch_max_wait
        self._has_predict_batch = has_predict_batch
        self._each: float | None = None
        self._whole = 0.0

    def observe(self, requests: int, seconds: float, *, has_predict_batch: bool) -> None:
        """Take in how long a process took for a batch."""
        self._has_predict_batch = has_predict_batch
        each = seconds / requests
        self._each = each if self._each is None else self._each + WEIGHT * (each - self._each)
        self._whole += WEIGHT * (seconds - self._whole)

    @property
    def most(self) -> int:
        """How many requests a process may be given now."""
        if self._has_predict_batch:
            return self._batch_max_size
        if self._each is None:
            return 1
        return max(1, min(MOST_UNBATCHED, int(UNBATCHED_SECONDS / max(self._each, 1e-6))))

    @property
    def wait(self) -> float:
        """How many seconds a request may wait for a fuller batch."""
        return self._batch_max_wait if self._has_predict_batch else 0.0

    @property
    def is_quick(self) -> bool:
        """Whether a process ends a batch about as soon as another could begin with the next."""
        return 0 < self._whole < QUICK_SECONDS

    @property
    def seconds(self) -> float:
        """How long a process takes for a batch."""
        return self._whole
