"""Take tasks off their lists in Redis, in place of kombu; Celery runs them like any others.

kombu waits for tasks with a command that Redis writes to disk (``BRPOP``), and makes a dozen
objects of each.  Here a worker is called on a channel and takes a task when one of its processes
is free.  Synchronous and asynchronous requests have lists of their own: the two take turns, so
that however many there are of one kind, the other gets on.
"""

from __future__ import annotations

import base64
import logging
from collections.abc import Callable, Collection
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import orjson
from celery import bootsteps
from celery.worker import state
from celery.worker.consumer.tasks import Tasks
from kombu import Message
from redis.exceptions import RedisError, ResponseError

from app.runtime.settings import load_settings
from app.runtime.store.keys import PREDICTIONS_QUEUE, SYNC_QUEUE, WORK_CHANNEL
from app.runtime.store.scripts import QUEUE_TASK, WHEN_FULL
from app.runtime.store.wire import INCOMPLETE, Wire

LOOK_SECONDS = 1.0
"""How often a worker looks for tasks it was not called for."""
PATIENCE_SECONDS = 5.0
"""How long Redis may take to answer."""

# ARGV: the lists, in turn.  Returns the first that is not empty and its next task, or nothing.
# Redis does not write it, so that nobody waits for its disk: of synchronous requests nothing is
# written (requests/synchronous.py), of others when they are begun (requests/ledger.py).
TAKE_TASK = """
redis.set_repl(redis.REPL_NONE)
for _, list in ipairs(ARGV) do
  local task = redis.call('RPOP', list)
  if task then return {list, task} end
end
"""

# ARGV: list, task.  Not written, as its being taken was not.
_PUT_BACK = (
    WHEN_FULL
    + """
redis.set_repl(redis.REPL_NONE)
"""
    + QUEUE_TASK
    + "queue_task('RPUSH', ARGV[1], ARGV[2])"
)

log = logging.getLogger("denzel.feed")


class FedMessage(Message):  # kombu has no types
    """A task's message as Celery wants it, decoded; ``on_end(id)`` is called when it is done.

    Raises ValueError, LookupError and TypeError for what is no task.
    """

    def __init__(self, encoded: bytes, on_end: Callable[[str], None]) -> None:
        message = orjson.loads(encoded)
        properties = message["properties"]
        headers = message["headers"]
        self.task_id: str = headers["id"]
        expires = headers.pop("expires", None)  # Celery is slower at it
        self.has_expired = bool(expires) and datetime.fromisoformat(expires) < datetime.now(UTC)
        """Whether nobody waits for the task any more."""
        body = message["body"]
        if properties.get("body_encoding") == "base64":  # as kombu would send it
            body = base64.b64decode(body)
        super().__init__(
            body=body,
            delivery_tag=properties["delivery_tag"],
            content_type=message["content-type"],
            content_encoding=message["content-encoding"],
            delivery_info=properties["delivery_info"],
            properties=properties,
            headers=headers,
        )
        arguments, keywords, _ = orjson.loads(body)
        # In this form Celery hands arguments to a process as they are, and not also as JSON.
        self._decoded_cache = {"args": arguments, "kwargs": keywords}
        self._on_end = on_end

    def ack(self, multiple: bool = False) -> None:
        """Take note that the task has ended; nothing is kept in Redis for it."""
        self._on_end(self.task_id)

    def reject(self, requeue: bool = False) -> None:
        """Take note that the task will not run."""
        self._on_end(self.task_id)


class Feed:
    """A connection that fetches tasks for as long as Celery's own connection stands.

    ``deliver`` is given each task after its list's name, ``has_room`` tells whether a worker
    process is free.  Every method that talks to Redis raises OSError and ConnectionError.
    """

    def __init__(
        self, wire: Wire, deliver: Callable[[bytes, bytes], None], has_room: Callable[[], bool]
    ) -> None:
        self._wire = wire
        self._deliver = deliver
        self._has_room = has_room
        self._queues = [SYNC_QUEUE.encode(), PREDICTIONS_QUEUE.encode()]
        self._may_have = True
        self._is_fetching = False
        wire.send("SUBSCRIBE", WORK_CHANNEL)  # its reply is a pushed one

    def fileno(self) -> int:
        """Return the connection's number, for an event loop to watch."""
        return self._wire.fileno()

    def close(self) -> None:
        """Hang up."""
        self._wire.close()

    def on_readable(self) -> None:
        """Hear a call, and fetch what there is."""
        self._wire.receive()
        self._note_calls()
        self.fetch()

    def look(self) -> None:
        """Fetch what there is, also if nobody called."""
        self._may_have = True
        self.fetch()

    def fetch(self) -> None:
        """Fetch tasks as long as there may be some and worker processes are free.

        Waiting for Redis right here takes less time than another turn of the event loop.
        """
        if self._is_fetching:  # Celery dropped the task it was just given
            return
        self._is_fetching = True
        try:
            while self._may_have and self._has_room():
                self._fetch_one()
        except (OSError, RedisError):
            self._wire.hang_up()  # an answer that comes later must not be taken for another's
            raise
        finally:
            self._is_fetching = False

    def _fetch_one(self) -> None:
        self._may_have = False
        try:
            taken = self._wire.ask("EVAL", TAKE_TASK, "0", *self._queues)
        except ResponseError as error:
            log.error("Redis gives no task: %s", error)
            return
        self._note_calls()  # that came with the task
        if taken is not None:
            self._may_have = True
            queue, message = taken
            if queue == self._queues[0]:
                self._queues.reverse()  # the next is the other's turn
            self._deliver(queue, message)

    def _note_calls(self) -> None:
        """Take note of calls that have come in; nothing else is left to come."""
        while self._wire.next() is not INCOMPLETE:
            self._may_have = True


class FeedStep(bootsteps.StartStopStep):  # Celery has no types
    """The part of Celery's consumer that runs a feed, and keeps kombu from taking tasks."""

    requires = (Tasks,)

    def __init__(self, consumer: Any, **options: Any) -> None:
        super().__init__(consumer, **options)
        self._feed: Feed | None = None
        self._timer: Any = None
        self._taken: dict[str, tuple[bytes, bytes]] = {}

    def start(self, consumer: Any) -> None:
        """Connect; called again each time Celery has connected again."""
        consumer.task_consumer.channel.qos.can_consume = lambda: False
        handle = consumer.create_task_handler()

        def deliver(queue: bytes, encoded: bytes) -> None:
            try:
                message = FedMessage(encoded, self._end)
            except (ValueError, LookupError, TypeError):
                log.exception("Redis has given what is no task")
            else:
                if not message.has_expired:
                    self._taken[message.task_id] = (queue, encoded)
                    handle(message)

        def has_room() -> bool:
            return len(state.reserved_requests) < consumer.pool.num_processes

        feed = Feed(Wire(load_settings().redis_url, PATIENCE_SECONDS), deliver, has_room)
        self._feed = feed
        consumer.hub.add_reader(feed.fileno(), feed.on_readable)
        self._timer = consumer.hub.call_repeatedly(LOOK_SECONDS, feed.look)

    def stop(self, consumer: Any) -> None:
        """Hang up, and put back what no process will get: Celery has dropped it by now."""
        feed, self._feed = self._feed, None
        if feed is not None:
            self._timer.cancel()
            consumer.hub.remove(feed.fileno())
            feed.close()
            self._put_back(consumer.dropped)

    def _put_back(self, task_ids: Collection[str]) -> None:
        """Put tasks before all others on their lists."""
        tasks = [self._taken.pop(each) for each in list(self._taken) if each in task_ids]
        if not tasks:
            return
        # Without Redis the API sends synchronous requests again, and the ledger has the others.
        with suppress(OSError, RedisError):
            wire = Wire(load_settings().redis_url, PATIENCE_SECONDS)
            for queue, message in reversed(tasks):
                wire.ask("EVAL", _PUT_BACK, "0", queue, message)
            wire.close()

    def _end(self, task_id: str) -> None:
        """Ask for a task, now that one has ended."""
        self._taken.pop(task_id, None)
        if self._feed is not None:
            with suppress(OSError, RedisError):  # the event loop is told of it, too
                self._feed.fetch()
