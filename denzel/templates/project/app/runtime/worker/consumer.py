"""Celery's consumer: it tells Flower of tasks in fewer messages, and drops none when it ends."""

from __future__ import annotations

from typing import Any

from celery.worker import state
from celery.worker.consumer import Consumer

EVENT_SECONDS = 0.25
EVENT_LIMIT = 24
"""Events sent together at most: while it writes them, the worker takes no task."""


class PatientConsumer(Consumer):  # Celery has no types
    """Sends task events together, a quarter of a second late at most.

    Celery sends them after each turn of its loop, which costs the worker and Flower as much
    as the tasks themselves.  ``dropped`` are tasks that no process was given when the consumer
    closed; ``feed.py`` puts them back.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._flush_is_due = False
        self.dropped: set[str] = set()

    def on_close(self) -> None:
        """Note which tasks Celery is about to drop: those whose writing has not begun."""
        self.dropped = {each.id for each in state.reserved_requests if not _is_given(each)}
        super().on_close()

    def on_send_event_buffered(self) -> None:
        """Plan to send what is buffered, unless that is planned already."""
        if self.hub and not self._flush_is_due:
            self._flush_is_due = True
            self.event_dispatcher.buffer_limit = EVENT_LIMIT
            self.hub.call_later(EVENT_SECONDS, self._flush_planned)

    def _flush_planned(self) -> None:
        self._flush_is_due = False
        self._flush_events()


def _is_given(request: Any) -> bool:
    """Tell whether a process has a request's task in its pipe, or will have it in a moment.

    ``_write_to`` is Celery's own (celery/concurrency/asynpool.py): the process a task is being
    written to, or was.
    """
    job = request._apply_result and request._apply_result()
    return job is not None and job._write_to is not None
