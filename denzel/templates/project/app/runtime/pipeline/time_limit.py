"""A time limit for the pipeline's functions, in a process's main thread."""

from __future__ import annotations

import signal
import time
from types import FrameType, TracebackType

GRACE_SECONDS = 10.0
"""How long after its time limit a prediction that cannot be interrupted is left running."""


class PredictionTooLong(Exception):
    """A prediction took longer than PREDICTION_TIMEOUT."""


def too_long(seconds: float) -> PredictionTooLong:
    """Return the error of a prediction that took longer than ``seconds``."""
    return PredictionTooLong(f"the prediction took longer than {seconds:g} s")


class TimeLimit:
    """Raises PredictionTooLong in what runs in ``with limit.of(…)`` for longer than allowed.

    0 seconds: never.  Code that does not return to the interpreter is not reached: see
    ``app/runtime/worker/stopping.py``.  One timer is left running rather than one started for each
    call, because each would cost system calls: when it rings, the deadline of the moment counts.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._deadline = 0.0
        self._rings_at = 0.0

    def of(self, started: float) -> TimeLimit:
        """Return the limit of a call that belongs to what began at ``started``.

        That is a time of ``time.monotonic``.
        """
        if self.seconds:
            self._deadline = started + self.seconds
            if not self._rings_at or self._deadline < self._rings_at:
                signal.signal(signal.SIGALRM, self._ring)
                self._arm()
        return self

    def __enter__(self) -> None:
        """Begin."""

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """End: from now on nothing is raised."""
        self._deadline = 0.0

    def _ring(self, number: int, frame: FrameType | None) -> None:
        self._rings_at = 0.0
        if not self._deadline:
            return
        if time.monotonic() < self._deadline:
            self._arm()
        else:
            self._deadline = 0.0
            raise too_long(self.seconds)

    def _arm(self) -> None:
        self._rings_at = self._deadline
        signal.setitimer(signal.ITIMER_REAL, max(self._deadline - time.monotonic(), 0.001))


NO_LIMIT = TimeLimit(0)
