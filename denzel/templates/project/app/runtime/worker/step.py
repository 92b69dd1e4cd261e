"""The part of Celery's consumer that serves the queues of predictions.

Celery's own consumption, by kombu, goes on beside it for the queue ``celery``: tasks of the user's
own in ``app/tasks.py`` have all that Celery has.  Both share the pool's processes.
"""

from __future__ import annotations

import logging
import time
from typing import Any

from celery import bootsteps, signals
from celery.worker import state
from celery.worker.consumer.tasks import Tasks
from redis.exceptions import RedisError

from app.runtime import state as state_files
from app.runtime.requests.worker_queue import Demand, Taken
from app.runtime.settings import load_settings
from app.runtime.store.messages import decode_message
from app.runtime.worker.batch import Batch, PredictionRequest, batches
from app.runtime.worker.batch_size import BatchSize
from app.runtime.worker.context import (
    connect_main,
    connect_outcomes,
    connect_queue,
    current_context,
    has_context,
    predecessors,
)
from app.runtime.worker.events import EventRate
from app.runtime.worker.fetcher import Fetcher, Notifications
from app.runtime.worker.leases import BEAT_SECONDS, Leases
from app.runtime.worker.measurements import Measurements
from app.runtime.worker.naming import connect_name
from app.runtime.worker.report import count_failed
from app.runtime.worker.runner import Runner, process_died
from app.runtime.worker.stopping import Stopper

LOOK_SECONDS = 1.0
"""How often a worker looks for requests it was not notified of."""
STOP_CHECK_SECONDS = 0.25
LONGEST_PAUSE = 0.01
"""Seconds that a quick batch is waited for; it may be one that is not quick after all."""

log = logging.getLogger("denzel.worker")


class PredictionStep(bootsteps.StartStopStep):  # Celery has no types
    """Connects fetcher, runner and leases with Celery's event loop."""

    requires = (Tasks,)

    def __init__(self, consumer: Any, **options: Any) -> None:
        super().__init__(consumer, **options)
        settings = self._settings = load_settings()
        self._consumer = consumer
        self._queue = connect_queue(settings)
        self._size = BatchSize(
            settings.batch_max_size, settings.batch_max_wait,
            has_predict_batch=has_context() and bool(current_context().pipeline.predict_batch),
        )  # fmt: skip
        self._rate = EventRate()
        outcomes = connect_outcomes(settings)
        self._measurements = Measurements(settings, self._pids)
        self._runner = Runner(
            settings, consumer, batches, self._queue, outcomes, self._size, self._fetch,
            self._measurements,
        )  # fmt: skip
        self._leases = Leases(self._queue, batches, predecessors(settings))
        self._name = connect_name(settings)
        self._stopper = Stopper(self._queue, batches, settings.prediction_timeout)
        self._fetcher: Fetcher | None = None
        self._notifications: Notifications | None = None
        self._timers: list[Any] = []
        self._will_look = False
        self._failed = 0
        signals.worker_shutdown.connect(self._end_lease, weak=False)

    def start(self, consumer: Any) -> None:
        """Connect; called again each time Celery has connected again."""
        self._leases.connected()
        self._leases.beat()
        self._keep_name()
        self._measurements.flush()
        self._fetcher = Fetcher(self._queue, self._demand, self._deliver, consumer.hub.call_later)
        self._notifications = Notifications(connect_main(self._settings))
        hub = consumer.hub
        hub.add_reader(self._notifications.fileno(), self._on_notification)
        self._timers = [
            hub.call_repeatedly(LOOK_SECONDS, self._look),
            hub.call_repeatedly(BEAT_SECONDS, self._beat),
        ]
        if self._settings.cancel_running:
            self._timers.append(
                hub.call_repeatedly(STOP_CHECK_SECONDS, self._stopper.end_cancelled)
            )

    def stop(self, consumer: Any) -> None:
        """Hang up, and put back what no process will get."""
        for timer in self._timers:
            timer.cancel()
        self._timers = []
        if self._fetcher is not None:
            self._fetcher.close()
            self._fetcher = None
        if self._notifications is not None:
            consumer.hub.remove(self._notifications.fileno())
            self._notifications.close()
            self._notifications = None
        self._let_go()

    def _let_go(self) -> None:
        """Put back what was not given to a process, and forget what Celery's pool has forgotten."""
        held = batches.all()
        left = [request for each in held if not each.is_given for request in each.requests]
        for batch in held:
            if batch.is_forgotten:
                batches.remove(batch)
        try:
            self._runner.put_back(left, is_begun=False)
            if batches:
                self._leases.end()
        except RedisError as error:  # then this worker's successor does
            log.warning("Requests are not put back yet: %s", error)

    # What the event loop calls

    def _on_notification(self) -> None:
        if self._notifications is not None and self._fetcher is not None:
            self._notifications.drain()
            self._fetcher.look()

    def _look(self) -> None:
        if self._fetcher is not None and self._notifications is not None:
            self._notifications.ping()
            self._fetcher.look()

    def _fetch(self) -> None:
        """Fetch now that a process is free; what Redis does meanwhile the event loop is told."""
        if self._fetcher is not None:
            try:
                self._fetcher.fetch()
            except RedisError as error:
                log.warning("Cannot fetch: %s", error)

    def _beat(self) -> None:
        self._failed = count_failed(self._settings.denzel_run_dir)
        self._stopper.end_overdue()
        self._leases.beat()
        self._keep_name()
        state_files.beat(state_files.WORKER)  # this loop turns, and Redis answers it
        self._measurements.flush()

    def _keep_name(self) -> None:
        self._name.renew(self._consumer.hostname)

    def _pids(self) -> set[int]:
        return {process.pid for process in self._consumer.pool._pool._pool}

    # What the fetcher calls

    def _demand(self) -> Demand | None:
        others = len(state.reserved_requests) - batches.count_requests()
        # A process without a model, as where a GPU is lost, would have a batch wait for the others.
        able = self._consumer.pool.num_processes - self._failed
        free = able - len(batches) - max(0, others)
        if free <= 0 or self._waits_for_quick_one():
            return None
        share = 1 if self._size.is_quick else free  # one process has a quick batch to itself
        return Demand(self._size.most, self._size.wait, self._size.seconds, share)

    def _waits_for_quick_one(self) -> bool:
        """Tell whether a batch is under way that will have ended in a moment, and look then."""
        if not (batches and self._size.is_quick):
            return False
        left = batches.all()[-1].taken + LONGEST_PAUSE - time.monotonic()
        if left > 0 and not self._will_look:
            self._will_look = True
            self._consumer.hub.call_later(left, self._look_again)
        return left > 0

    def _look_again(self) -> None:
        self._will_look = False
        if self._fetcher is not None:
            self._fetcher.fetch()

    def _deliver(self, taken: Taken) -> None:
        requests = self._read(taken)
        if not taken.is_sync:
            requests = self._without_hopeless(requests)
        requests = [each for each in requests if not (state.revoked and each.revoked())]
        if requests:
            self._runner.start(Batch(requests, self._rate.choose(len(requests))))

    def _read(self, taken: Taken) -> list[PredictionRequest]:
        requests = []
        for encoded, deliveries, stored in taken.requests:
            try:
                message = decode_message(encoded)
            except (ValueError, LookupError, TypeError) as error:
                log.error("Skipped what is no prediction on a queue of predictions: %s", error)
                continue
            requests.append(
                PredictionRequest(
                    message, encoded, is_sync=taken.is_sync, deliveries=deliveries, stored=stored,
                    app=self._consumer.app, hostname=self._consumer.hostname,
                    eventer=self._consumer.event_dispatcher, on_revoked=self._revoke,
                )
            )  # fmt: skip
        return requests

    def _without_hopeless(self, requests: list[PredictionRequest]) -> list[PredictionRequest]:
        """Return the requests but for those that ended too many processes, which fail."""
        most = self._settings.max_deliveries
        hopeless = [each for each in requests if each.deliveries > most]
        if hopeless:
            self._runner.fail(hopeless, process_died(most))
        return [each for each in requests if each.deliveries <= most]

    def _revoke(self, request: PredictionRequest) -> None:
        """End a request that was revoked or terminated, from Flower or with ``celery control``."""
        try:
            self._runner.revoke([request])
        except RedisError as error:
            log.warning("A revoked request has not ended yet: %s", error)

    def _end_lease(self, **_: object) -> None:
        try:
            self._leases.end()
            self._name.release(self._consumer.hostname)
        except RedisError as error:
            log.warning("Redis is not told that this worker ends: %s", error)
