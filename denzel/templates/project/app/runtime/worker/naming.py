"""Give this worker its name, and keep it."""

from __future__ import annotations

import logging
import time

from redis.exceptions import RedisError

from app.runtime.logs import Outage
from app.runtime.settings import Settings
from app.runtime.store.client import connect
from app.runtime.store.worker_names import WorkerName
from app.runtime.worker.context import QUEUE_ANSWER_SECONDS, holder, place

RETRY_SECONDS = 1.0

log = logging.getLogger("denzel.worker")


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
    client = connect(settings.redis, answer_seconds=QUEUE_ANSWER_SECONDS)
    return WorkerName(client, holder(settings), place(settings), settings.denzel_replica)
