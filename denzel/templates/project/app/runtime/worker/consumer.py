"""Celery's consumer, which tells Flower of tasks in fewer messages, and reconnects steadily."""

from __future__ import annotations

import logging
import time
from typing import Any

from celery.worker.consumer import Consumer
from celery.worker.state import maybe_shutdown
from redis.exceptions import ResponseError

from app.runtime.logs import Outage
from app.runtime.worker.batch import batches

EVENT_SECONDS = 0.25
EVENT_LIMIT = 24
"""Events sent together at most: while it writes them, the worker takes no request."""
REFUSED_SECONDS = 2.0
"""Pause when Redis refuses to write: Celery would connect again some times a second, and each time
leave connections open behind it."""
RECONNECT_SECONDS = 2

log = logging.getLogger("denzel.redis")


class EventBufferingConsumer(Consumer):  # Celery has no types
    """Sends task events together, a quarter of a second late at most.

    Celery sends them after each turn of its loop, which costs the worker and Flower as much as the
    tasks themselves.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._flush_is_due = False

    def ensure_connected(self, conn: Any) -> Any:
        """Return the connection once Redis is there; Celery would look ever less often for it."""
        outage = Outage(log, "Redis")
        conn.ensure_connection(
            lambda error, _: outage.failed(error),
            interval_start=RECONNECT_SECONDS,
            interval_step=0,
            callback=maybe_shutdown,
        )
        outage.ended()
        self.first_connection_attempt = False
        return conn

    def on_send_event_buffered(self) -> None:
        """Plan to send what is buffered, unless that is planned already."""
        if self.hub and not self._flush_is_due:
            self._flush_is_due = True
            self.event_dispatcher.buffer_limit = EVENT_LIMIT
            self.hub.call_later(EVENT_SECONDS, self._flush_planned)

    def _flush_planned(self) -> None:
        self._flush_is_due = False
        self._flush_events()

    def on_close(self) -> None:
        """Let go of what is waiting, but keep the jobs that processes have in their pipes.

        Celery forgets a job that was not accepted yet.  It would be predicted, its result thrown
        away, and its process would wait half a minute for the result to be taken
        (``_ensure_messages_consumed`` in billiard/pool.py).
        """
        for batch in batches.all():
            batch.keep(self.pool._pool._active_writes)
        super().on_close()

    def on_connection_error_before_connected(self, exc: Exception) -> None:
        """Report it; wait a moment if Redis is there, but refuses to write."""
        super().on_connection_error_before_connected(exc)
        if isinstance(exc, ResponseError):
            time.sleep(REFUSED_SECONDS)
