"""Cancel a request: one that is queued never runs, one that is running is stopped if allowed.

Its record says REVOKED from then on, and nothing that a worker still does with it counts.
"""

from __future__ import annotations

from app.runtime.contract import CANCELLED, PENDING, REVOKED, STARTED
from app.runtime.requests.acceptance import Run
from app.runtime.requests.errors import NotCancelled

STOP_SECONDS = 60
"""How long a worker is asked to stop a prediction it has not been found to make."""

REASONS = {
    "ended": "The task has ended already",
    "running": "The task is running; this deployment stops none that runs (CANCEL_RUNNING)",
    "synchronous": "The task is one of a synchronous request, which cannot be cancelled",
}


class Cancellation:
    """Cancels this deployment's requests; ``stop_running`` allows to stop running ones."""

    def __init__(self, run: Run, result_ttl: int, *, stop_running: bool) -> None:
        self._run = run
        self._result_ttl = result_ttl
        self._stop_running = stop_running

    async def cancel(self, task_id: str, owner: str) -> bool:
        """Cancel an owner's request; return False for an id that is unknown to them.

        Raises NotCancelled with the state it is in.
        """
        answer = await self._run(
            "cancel", task_id, owner, self._result_ttl, CANCELLED, int(self._stop_running),
            STOP_SECONDS,
        )  # fmt: skip
        verdict, _, state = answer.decode().partition(" ")
        if verdict in REASONS:
            raise NotCancelled(REASONS[verdict], PENDING if state == STARTED else state)
        return bool(verdict == REVOKED)
