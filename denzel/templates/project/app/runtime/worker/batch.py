"""Requests that a worker has taken, and the batches in which its processes predict for them."""

from __future__ import annotations

import time
from collections.abc import Callable, Container
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Any
from weakref import ref

from celery.worker import state
from celery.worker.request import Request

from app.runtime.pipeline.payloads import shown
from app.runtime.store.codecs import decode_stored_request
from app.runtime.store.keys import PREDICTIONS_QUEUE, SYNC_QUEUE
from app.runtime.store.messages import Message

SHOWN_CHARACTERS = 200


class _Delivery:
    """What Celery asks of a message that it was not given by kombu."""

    def __init__(self, queue: str) -> None:
        self.delivery_info = {"exchange": "", "routing_key": queue}
        self.properties: dict[str, Any] = {}


_DELIVERIES = {True: _Delivery(SYNC_QUEUE), False: _Delivery(PREDICTIONS_QUEUE)}


class PredictionRequest(Request):  # Celery has no types
    """A request as Celery knows it, so that revoke, terminate and inspect work as they are.

    ``encoded`` is its message, ``stored`` what Redis has of an asynchronous one, '' when that is
    large; ``deliveries`` is how often it was begun, this time included.  ``on_revoked`` is called
    when somebody revokes or terminates it.  ``api`` is the API process whose client waits: Celery's
    own ``reply_to`` cannot be set.
    """

    def __init__(
        self, message: Message, encoded: bytes, *, is_sync: bool, deliveries: int, stored: bytes,
        on_revoked: Callable[[PredictionRequest], None], **celery: Any,
    ) -> None:  # fmt: skip
        self.encoded = encoded
        self.is_sync = is_sync
        self.deliveries = deliveries
        self.payload: bytes | None = message.payload if is_sync else None
        self.callback_uri: str | None = None
        if stored:
            self.callback_uri, self.payload = decode_stored_request(stored)
        self.owner: str = message.headers.get("owner", "")
        self.api: str = message.headers.get("reply_to", "")
        self.streams: bool = "stream" in message.headers
        arguments = shown(self.payload or b"", SHOWN_CHARACTERS) or message.id
        headers = {
            **message.headers,
            "argsrepr": arguments,
            "kwargsrepr": "{}",
            "root_id": message.id,
        }
        self._on_revoked = on_revoked
        super().__init__(
            _DELIVERIES[is_sync],
            headers=headers,
            body=((arguments,), {}, None),
            decoded=True,
            **celery,
        )

    acknowledged: bool = False

    def acknowledge(self) -> None:
        """Take note that the request was revoked: Celery acknowledges none of them otherwise."""
        if not self.acknowledged:
            self.acknowledged = True
            self._on_revoked(self)


class Told(Enum):
    """Of what Celery's events tell: each request of a batch, the batch as a whole, or nothing."""

    EACH = auto()
    BATCH = auto()
    NOTHING = auto()


@dataclass(eq=False)
class Batch:
    """Requests that one process predicts for together; all of them asynchronous, or none.

    ``taken`` is by the monotonic clock, and so is ``started``, once a process has begun.
    ``gpu_failed`` is whether its process ended because of its GPU, whatever it was asked for.
    """

    requests: list[PredictionRequest]
    told: Told
    taken: float = field(default_factory=time.monotonic)
    job: Any = None
    pid: int | None = None
    started: float | None = None
    is_overdue: bool = False
    gpu_failed: bool = False

    @property
    def id(self) -> str:
        """The first request's id."""
        return str(self.requests[0].id)

    @property
    def is_sync(self) -> bool:
        """Whether clients wait for the outcomes."""
        return self.requests[0].is_sync

    @property
    def task_ids(self) -> list[str]:
        """The requests' ids."""
        return [each.id for each in self.requests]

    @property
    def is_given(self) -> bool:
        """Whether a process has it in its pipe, or will have it in a moment.

        ``_write_to`` is Celery's own (celery/concurrency/asynpool.py): the process a job is being
        written to, or was.
        """
        return self.job is not None and self.job._write_to is not None

    def keep(self, being_written: Container[int]) -> None:
        """Have Celery's pool remember the job although no process has accepted it yet.

        One of which a part is missing (its pipe is ``being_written``) is not kept.
        """
        if self.is_given and self.job._write_to.inqW_fd not in being_written:
            self.job._accepted = True

    @property
    def is_forgotten(self) -> bool:
        """Whether Celery's pool tells nothing of it any more, once the consumer has closed."""
        return self.job is None or not self.job._accepted

    def reserve(self) -> None:
        """Have Celery know the requests as taken."""
        for request in self.requests:
            state.task_reserved(request)

    def submitted(self, job: Any) -> None:
        """Note the pool's job that stands for it."""
        self.job = job
        for request in self.requests:
            request._apply_result = ref(job)

    def begin(self, pid: int, accepted: float) -> None:
        """Note which process has begun, and when by the monotonic clock."""
        self.pid, self.started = pid, time.monotonic()
        for request in self.requests:
            request.on_accepted(pid, accepted)


@dataclass
class Batches:
    """What this worker holds, in its main process's memory."""

    _batches: dict[int, Batch] = field(default_factory=dict)

    def add(self, batch: Batch) -> None:
        """Note a batch that was taken."""
        self._batches[id(batch)] = batch
        batch.reserve()

    def remove(self, batch: Batch) -> None:
        """Note the end of a batch, however it came; Celery no longer knows its requests."""
        self._batches.pop(id(batch), None)
        for request in batch.requests:
            state.task_ready(request)

    def all(self) -> list[Batch]:
        """Return the batches, oldest first."""
        return list(self._batches.values())

    def running(self) -> list[Batch]:
        """Return those that a process has begun."""
        return [batch for batch in self._batches.values() if batch.started is not None]

    def __len__(self) -> int:
        """Return how many batches there are."""
        return len(self._batches)

    def count_requests(self) -> int:
        """Return how many requests the batches hold together."""
        return sum(len(batch.requests) for batch in self._batches.values())

    def task_ids(self) -> set[str]:
        """Return the ids of all requests held."""
        return {task_id for batch in self._batches.values() for task_id in batch.task_ids}


batches = Batches()
"""This worker's."""
