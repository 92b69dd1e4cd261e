"""What a worker's main process does for requests whose worker process or worker has died."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from typing import Any

import redis
from billiard.exceptions import WorkerLostError

from app.runtime.contract import FAILURE, INVOKE_PREDICT, Outcome, Request, failure_body
from app.runtime.pipeline.time_limit import PredictionTooLong
from app.runtime.requests.ledger import Ledger
from app.runtime.requests.results import ResultStore
from app.runtime.store.codecs import Reply, decode_requests

log = logging.getLogger("denzel.recovery")


def process_died(times: int) -> WorkerLostError:
    """Return the error of a request whose worker process died ``times`` times over it."""
    often = "" if times == 1 else f" {times} times"
    return WorkerLostError(f"the worker process died{often} during the prediction")


class Recovery:
    """Lives in the worker's main process, which outlives its worker processes."""

    def __init__(self, store: ResultStore, ledger: Ledger) -> None:
        self._store = store
        self._ledger = ledger
        self._was_cut_off = False

    def tick(self, held: Iterable[Any]) -> None:
        """Renew the leases of what this worker holds, then put back what none does.

        ``held`` are Celery's requests, reserved or running; called every few seconds.
        """
        try:
            self._ledger.renew(self._accepted_ids(held))
            # While Redis was away nobody could renew: let every worker do so first.
            requeued = 0 if self._was_cut_off else self._ledger.sweep()
            self._was_cut_off = False
        except redis.RedisError:
            self._was_cut_off = True  # Celery's own connection reports it
            return
        if requeued:
            log.warning("%d requests of a dead worker are on the queue again", requeued)

    def after_loss(
        self, error: BaseException, encoded: Sequence[Sequence[Any]], reply_to: str
    ) -> None:
        """Take care of the requests a worker process left behind when it died or was killed.

        Guilty or not, all of its group are lost with it, so each of a group is tried again on
        its own.  One that was alone is the guilty one: it fails if it ran too long or its
        client waits; else it is tried again, as often as the settings say.
        """
        requests = decode_requests(encoded)
        accepted = [request.id for request in requests if request.is_async]
        waited_for = [request for request in requests if not request.is_async]
        if len(requests) > 1:
            self._ledger.requeue(accepted)
            self._store.resend(waited_for, reply_to)
        elif isinstance(error, PredictionTooLong):
            self._fail(requests, error, reply_to)
        else:
            self._ledger.requeue(accepted)
            self._fail(waited_for, process_died(1), reply_to)

    def _fail(self, requests: Sequence[Request], error: BaseException, reply_to: str) -> None:
        if not requests:
            return
        body = failure_body(error)
        outcomes = [Outcome(request.id, FAILURE, body) for request in requests]
        ids = [each.id for each in requests if each.is_async]
        begun = self._ledger.begin(ids, from_queue=False)
        accepted = {each.request.id: each.request for each in begun}
        self._store.finish(Reply(outcomes[0].id, 0.0, outcomes), reply_to, accepted)

    @staticmethod
    def _accepted_ids(held: Iterable[Any]) -> list[str]:
        return [
            request.id
            for task in held
            if task.name == INVOKE_PREDICT
            for request in decode_requests(task.args[0])
            if request.is_async
        ]
