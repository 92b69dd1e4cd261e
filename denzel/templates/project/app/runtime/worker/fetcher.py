"""Take requests off the queues when a process is free to predict for them."""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable
from typing import Any

import redis
from redis.exceptions import ConnectionError, ResponseError

from app.runtime.requests.worker_queue import Demand, Taken, WorkerQueue
from app.runtime.store.client import database_of
from app.runtime.store.keys import PREDICTIONS_QUEUE, SYNC_QUEUE, work_channel

READ_BYTES = 64 * 1024

log = logging.getLogger("denzel.fetcher")


class Notifications:
    """Hears that there may be something on the queues; may raise RedisError and OSError.

    What is said does not matter, so it is not read as redis-py would, at a hundred times the cost.
    """

    def __init__(self, client: redis.Redis) -> None:
        self._client = client  # which ends its connections when it is not needed
        self._subscription: Any = client.pubsub(  # type: ignore[no-untyped-call]
            ignore_subscribe_messages=True
        )
        self._subscription.subscribe(work_channel(database_of(client)))
        self._socket: socket.socket = self._subscription.connection._sock
        self._descriptor = self._socket.fileno()

    def fileno(self) -> int:
        """Return the connection's file descriptor, for an event loop to watch.

        It stays the same when the connection is lost: the loop must forget it then.
        """
        return self._descriptor

    def drain(self) -> None:
        """Take in what has come; raises ConnectionError when the connection was lost."""
        if not self._socket.recv(READ_BYTES):  # something has come, or the loop would not call
            raise ConnectionError("the subscription was lost")

    def ping(self) -> None:
        """Ask Redis for a sign of life, which keeps the connection from being forgotten."""
        self._socket.sendall(b"*1\r\n$4\r\nPING\r\n")

    def close(self) -> None:
        """Hang up."""
        self._subscription.close()


class Fetcher:
    """Takes batches from both queues in turn, for as long as processes are free.

    ``demand`` tells what can be predicted now, None while no process is free; ``deliver`` is given
    what was taken; ``call_later(seconds, function)`` is the event loop's.  Methods may raise
    RedisError.
    """

    def __init__(
        self,
        queue: WorkerQueue,
        demand: Callable[[], Demand | None],
        deliver: Callable[[Taken], None],
        call_later: Callable[[float, Callable[[], None]], Any],
    ) -> None:
        self._queue = queue
        self._demand = demand
        self._deliver = deliver
        self._call_later = call_later
        self._first_queue = SYNC_QUEUE
        self._may_have = True
        self._is_fetching = False
        self._is_waiting = False
        self._is_closed = False

    def close(self) -> None:
        """Take nothing any more."""
        self._is_closed = True

    def look(self) -> None:
        """Fetch what there is, whatever is known of the queues."""
        self._may_have = True
        self.fetch()

    def fetch(self) -> None:
        """Fetch while there may be something and processes are free.

        Waiting for Redis right here takes less time than another turn of the event loop.
        """
        if self._is_fetching:  # what was delivered has ended at once
            return
        self._is_fetching = True
        try:
            while self._may_have and not self._is_closed and (demand := self._demand()):
                self._fetch_batch(demand)
        finally:
            self._is_fetching = False

    def _fetch_batch(self, demand: Demand) -> None:
        try:
            taken = self._queue.take(demand, self._first_queue)
        except ResponseError as error:
            self._may_have = False
            log.error("Redis gives nothing from the queues: %s", error)
            return
        # Whatever comes onto an empty queue is notified of.
        self._may_have = not (taken.is_all or taken.wait)
        for message in taken.skipped:
            log.error(
                "Skipped what is no prediction on a queue of predictions: %s; tasks of your own "
                "belong on the queue celery", message.decode(errors="replace"),
            )  # fmt: skip
        if taken.wait:
            self._wait(taken.wait)
        elif taken.requests:
            # The other queue has the next turn, so that however much is on one, both get on.
            self._first_queue = PREDICTIONS_QUEUE if taken.is_sync else SYNC_QUEUE
            self._deliver(taken)

    def _wait(self, seconds: float) -> None:
        """Look again when a request has waited long enough for a fuller batch."""
        if not self._is_waiting:
            self._is_waiting = True
            self._call_later(seconds, self._waited)

    def _waited(self) -> None:
        self._is_waiting = False
        self.look()
