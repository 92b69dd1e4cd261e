"""A worker's side of the queues: take requests, say that it holds them, put them back.

What a worker has taken it holds until the outcome is stored.  Its lease on all that it holds is
renewed every few seconds; when it ends, another worker puts the requests back (``recover``).
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import redis

from app.runtime.store.client import ScriptRunner
from app.runtime.store.keys import SYNC_QUEUE, WORKERS_KEY, stop_key, stopping_key
from app.runtime.store.messages import INLINE_PAYLOAD_BYTES, marked_alone, rest_of_async_message

RECOVERY_LIMIT = 500
"""Requests that one script puts back at most, so that Redis answers others meanwhile."""
STOP_LIMIT = 100
REVOKED_SECONDS = 600
BATCH_BYTES = 4 * 2**20
"""Payloads of a batch together, unless a single one is larger: a process holds them all."""


@dataclass(frozen=True, slots=True)
class Demand:
    """What a worker can predict now.

    ``size`` is the most requests of a batch, ``wait`` the seconds a request may wait for a fuller
    one, ``seconds`` how long a prediction takes, ``free`` how many processes have nothing to do.
    """

    size: int
    wait: float
    seconds: float
    free: int


@dataclass(frozen=True, slots=True)
class Taken:
    """What was taken off a queue.

    ``requests`` are encoded messages with how often each was begun and its stored request; both
    are 1 and empty for synchronous ones.  ``wait`` is in seconds: until then a fuller batch is
    waited for.  ``is_all`` says that both queues are empty now.
    """

    is_sync: bool = False
    wait: float = 0.0
    requests: list[tuple[bytes, int, bytes]] = field(default_factory=list)
    skipped: list[bytes] = field(default_factory=list)
    is_all: bool = False


NOTHING = Taken(is_all=True)


class WorkerQueue:
    """The queues as the worker called ``holder`` sees them; every method may raise RedisError."""

    def __init__(self, client: redis.Redis, holder: str, lease_seconds: float) -> None:
        # Any: redis-py types its answers bytes | str; without decode_responses they are bytes.
        self._redis: Any = client
        self.holder = holder
        self._lease_seconds = lease_seconds
        self._run = ScriptRunner(client)

    def take(self, demand: Demand, first_queue: str) -> Taken:
        """Take the next batch, from ``first_queue`` if there is anything."""
        answer = self._run(
            "take", self.holder, demand.size, BATCH_BYTES, demand.wait, demand.seconds,
            INLINE_PAYLOAD_BYTES, demand.free, first_queue, REVOKED_SECONDS,
        )  # fmt: skip
        if answer is None:
            return NOTHING
        if answer[0] == b"wait":
            return Taken(wait=float(answer[1]))
        queue, skipped, found, is_more = answer
        is_sync = queue == SYNC_QUEUE.encode()
        if is_sync:
            requests = [(each, 1, b"") for each in found]
        else:
            requests = list(zip(found[::3], found[1::3], found[2::3], strict=True))
        return Taken(is_sync, requests=requests, skipped=skipped, is_all=not is_more)

    def requeue(self, task_ids: Sequence[str], *, is_begun: bool) -> None:
        """Put asynchronous requests back before all others.

        Those that were begun are tried alone from now on; the others do not count as begun.
        """
        if task_ids:
            rest = rest_of_async_message(alone=is_begun)
            self._run("requeue", self.holder, int(is_begun), rest, *task_ids)

    def requeue_sync(
        self, task_ids: Sequence[str], messages: Sequence[bytes], *, is_begun: bool
    ) -> None:
        """Put synchronous requests back before all others; those that were begun go alone."""
        if not task_ids:
            return
        again = [marked_alone(each) if is_begun else each for each in messages]
        self._run("requeue_sync", self.holder, len(task_ids), *task_ids, *reversed(again))

    def renew(self) -> tuple[set[str], set[str]]:
        """Renew the lease; return the asynchronous and the synchronous requests held."""
        held, held_sync = self._run("renew_lease", self.holder, self._lease_seconds)
        return {each.decode() for each in held}, {each.decode() for each in held_sync}

    def extend(self, seconds: float) -> None:
        """Renew the lease for so long: until then nobody will."""
        self._run("renew_lease", self.holder, seconds)

    def keep_extending(self, seconds: float, every: float, is_over: threading.Event) -> None:
        """Renew the lease for so long, again and again; to be run in a thread of its own."""
        run = ScriptRunner(self._redis)  # one is for one thread
        while not is_over.wait(every):
            with suppress(redis.RedisError):
                run("renew_lease", self.holder, seconds)

    def recover(self, predecessors: str = "") -> tuple[int, int]:
        """Put back what dead workers held; return how many of each kind that were.

        They are those whose lease has ended, and those whose names begin with ``predecessors``.
        """
        rest = rest_of_async_message(alone=True)
        requeued, lost = self._run("recover", self.holder, predecessors, RECOVERY_LIMIT, rest)
        return requeued, lost

    def report_lost(self, task_ids: Sequence[str]) -> None:
        """Tell the API processes that synchronous requests are lost: they send them again.

        Those whose clients' time is up fail.
        """
        if task_ids:
            self._run("report_lost", self.holder, *task_ids)

    def withdraw(self) -> None:
        """End the lease, of a worker that holds nothing any more."""
        self._redis.zrem(WORKERS_KEY, self.holder)

    def take_cancelled(self) -> list[str]:
        """Return requests this worker shall stop, each once."""
        found = self._redis.lpop(stop_key(self.holder), STOP_LIMIT)
        return [task_id.decode() for task_id in found or ()]

    def is_stopping(self, task_id: str) -> bool:
        """Tell whether a cancelled request is still being predicted."""
        return bool(self._redis.exists(stopping_key(task_id)))
