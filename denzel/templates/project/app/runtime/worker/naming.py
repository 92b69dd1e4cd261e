"""The names of workers, as Celery and Flower know them: ``worker@PROJECT``, ``worker-2@PROJECT``.

No two workers have the same one at the same time, wherever they run, and a worker that is started
again in the same place gets the one it had.  A worker claims its name when it starts and renews the
claim every few seconds, by Redis's clock; numbers of workers that are gone are given out again.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any

import redis
from redis.exceptions import RedisError

from app.runtime.logs import Outage
from app.runtime.settings import Settings
from app.runtime.store.lua_scripts import load_script
from app.runtime.worker.context import connect_main, holder, place

LEASE_SECONDS = 10.0
"""How long a name stays taken by a worker that was killed: several of the renewals."""
POLL_SECONDS = 0.5
RETRY_SECONDS = 1.0

log = logging.getLogger("denzel.worker")


class WorkerName:
    """The claim of the worker called ``holder``; methods may raise RedisError.

    ``place`` is what the names of all holders begin with that ran where it runs; ``number`` is the
    one it prefers.
    """

    def __init__(self, client: redis.Redis, holder: str, place: str, number: int = 1) -> None:
        self._redis = client
        self._holder = holder
        self._place = place
        self._number = number
        self._claim: Any = client.register_script(load_script("claim_worker_name"))
        self._keep: Any = client.register_script(load_script("keep_worker_name"))

    def claim(
        self,
        name: str,
        expected: int,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> str:
        """Return ``name``, or with a number in it if other workers have it.

        No more than ``expected`` workers should be there.  Where that many have a name, one of them
        may have been killed a moment ago, so its claim may end: that is waited for.
        """
        first, at, project = name.partition("@")
        deadline = clock() + LEASE_SECONDS
        while True:
            most = expected if clock() < deadline else 0
            arguments = [self._holder, self._place, first, at + project, self._number]
            found = self._claim(args=[*arguments, LEASE_SECONDS, most])
            if found is not None:
                return str(found.decode())
            sleep(POLL_SECONDS)

    def renew(self, name: str) -> bool:
        """Keep a name that was claimed; tell whether no other worker has it."""
        return bool(self._keep(args=[name, self._holder, LEASE_SECONDS]))

    def release(self, name: str) -> None:
        """Let others have the name, unless this place asks for it again first."""
        self._keep(args=[name, self._holder, 0])

    def close(self) -> None:
        """Close the connection; it is opened again when needed."""
        self._redis.close()


def claim_name(settings: Settings) -> str:
    """Return a name that no other worker has; waits for Redis, which knows."""
    expected = max(settings.worker_replicas, settings.denzel_replica)
    claim = connect_name(settings)
    outage = Outage(log, "Redis")
    while True:
        try:
            name = claim.claim(settings.worker_name, expected)
        except RedisError as error:
            outage.failed(error)
            time.sleep(RETRY_SECONDS)
            continue
        outage.ended()
        claim.close()  # processes are about to be forked
        log.info("This is %s", name)
        return name


def connect_name(settings: Settings) -> WorkerName:
    """Return this worker's claim; no connection is opened yet."""
    number = settings.denzel_replica
    return WorkerName(connect_main(settings), holder(settings), place(settings), number)
