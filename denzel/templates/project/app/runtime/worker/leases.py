"""Say that this worker lives, and put back what dead workers held."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from app.runtime.requests.worker_queue import RECOVERY_LIMIT, WorkerQueue
from app.runtime.worker.batch import Batches

BEAT_SECONDS = 2.0
SETTLING_SECONDS = 3 * BEAT_SECONDS
"""How long others have to renew their leases after Redis was away, before they count as dead."""
UNKNOWN_SECONDS = 2 * BEAT_SECONDS
"""How long Redis may say that this worker holds a request that it knows nothing of."""
STOPPING_SECONDS = 40.0
"""How long the lease of a worker that ends lasts, each time it is renewed: as long as Docker and
supervisor let it take (docker-compose.yml, stop_grace_period).  Swarm and Kubernetes let it take as
long as a prediction may."""
RENEWAL_SECONDS = 10.0

log = logging.getLogger("denzel.leases")


class Leases:
    """Lives in the worker's main process; every method may raise RedisError.

    ``predecessors`` is what the names of the dead workers begin with that ran in this place.
    """

    def __init__(
        self,
        queue: WorkerQueue,
        batches: Batches,
        predecessors: str,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._queue = queue
        self._batches = batches
        self._predecessors = predecessors
        self._clock = clock
        self._connected = clock()
        self._unknown: dict[str, float] = {}
        self._is_over = threading.Event()

    def connected(self) -> None:
        """Begin anew: Redis has been away, and with it every worker's lease may have ended."""
        self._connected = self._clock()
        self._is_over.set()

    def beat(self) -> None:
        """Renew the lease, then put back what no living worker holds."""
        held, held_sync = self._queue.renew()
        self._put_back_unknown(held, held_sync)
        if self._predecessors:
            self._recover(self._predecessors)
            self._predecessors = ""
        elif self._clock() - self._connected > SETTLING_SECONDS:
            self._recover("")

    def end(self) -> None:
        """Let go of the lease, or keep it as long as processes are at something.

        The loop that beats stands still then, so a thread renews it, until this process ends.
        """
        self._is_over.set()
        if not self._batches:
            self._queue.withdraw()
            return
        self._queue.extend(STOPPING_SECONDS)
        self._is_over = threading.Event()
        arguments = (STOPPING_SECONDS, RENEWAL_SECONDS, self._is_over)
        threading.Thread(target=self._queue.keep_extending, args=arguments, daemon=True).start()

    def _recover(self, predecessors: str) -> None:
        requeued = RECOVERY_LIMIT
        while requeued >= RECOVERY_LIMIT:
            requeued, lost = self._queue.recover(predecessors)
            if requeued or lost:
                log.warning(
                    "A worker has died: %d of its requests are on the queue again, %d are sent "
                    "again by their clients' API processes", requeued, lost,
                )  # fmt: skip

    def _put_back_unknown(self, held: set[str], held_sync: set[str]) -> None:
        """Put back what this worker holds by Redis's account, but not by its own.

        So what was lost on the way, as with an answer of Redis's, is not lost for good.
        """
        now = self._clock()
        unknown = (held | held_sync) - self._batches.task_ids()
        self._unknown = {each: self._unknown.get(each, now) for each in unknown}
        lost = [each for each, since in self._unknown.items() if now - since > UNKNOWN_SECONDS]
        if lost:
            log.warning("%d requests that no process is at are on the queue again", len(lost))
            self._queue.requeue([each for each in lost if each in held], is_begun=True)
            self._queue.report_lost([each for each in lost if each in held_sync])
