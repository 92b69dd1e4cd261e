"""The Celery application and its task; importing this opens no connection, loads no model.

A worker process has its pipeline, model and store before it runs anything (see
``app/runtime/worker/processes.py``).
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson
from celery import Celery, signals

from app.runtime.contract import FAILURE, INVOKE_PREDICT, Outcome, Request, failure_body
from app.runtime.pipeline.run import predict_group
from app.runtime.store.codecs import Reply, decode_requests
from app.runtime.worker.context import WorkerContext, current_context
from app.runtime.worker.feed import FeedStep
from app.runtime.worker.recovery import process_died

celery_app = Celery("app", config_source="app.runtime.worker.celeryconfig", set_as_current=True)
celery_app.steps["consumer"].add(FeedStep)


class PredictionFailed(Exception):
    """Shown by Flower for a request whose process or predict raised."""


@signals.worker_process_init.connect
def _prepare_process(**_: Any) -> None:
    """Make a new pool process ready to predict; it may load the model."""
    from app.runtime.worker.processes import prepare_process

    prepare_process()


@celery_app.task(name=INVOKE_PREDICT)
def invoke_predict(encoded: Sequence[Sequence[Any]], reply_to: str) -> str:
    """Predict for a group of requests, store the outcomes, tell the API.

    ``encoded`` is what :func:`app.runtime.store.encode_requests` made; ``reply_to`` names the API
    process that waits.  Flower shows what this returns: a lone request's result, or a count.
    """
    context = current_context()
    requests = decode_requests(encoded)
    work = collect(context, requests)
    # Redis is not waited for within this: where that took long, groups of requests that count as
    # slow would become small and many, and Redis be waited for still longer.
    started = time.perf_counter()
    predicted = predict_group(context.pipeline, context.model, work.payloads, context.time_limit)
    seconds = time.perf_counter() - started if predicted else 0.0
    outcomes = [*work.failed, *predicted]
    if not outcomes:
        return "already done"
    reply = Reply(requests[0].id, seconds, outcomes)
    context.store.finish(reply, reply_to, work.accepted, work.beside)
    return _shown(outcomes)


@dataclass
class Work:
    """What of a task's requests is to be predicted, and how to finish it.

    ``accepted`` are asynchronous, ``beside`` stood beside the message, ``failed`` needs no
    prediction any more.
    """

    payloads: list[tuple[str, bytes]] = field(default_factory=list)
    accepted: dict[str, Request] = field(default_factory=dict)
    beside: list[str] = field(default_factory=list)
    failed: list[Outcome] = field(default_factory=list)


def collect(context: WorkerContext, requests: Sequence[Request]) -> Work:
    """Return the requests this process may predict now, with their payloads."""
    work = Work()
    work.beside = [each.id for each in requests if each.payload is None and not each.is_async]
    for request in requests:
        if request.payload is not None:
            work.payloads.append((request.id, request.payload))
    if work.beside:
        _collect_beside(context, work)
    accepted = [request.id for request in requests if request.is_async]
    if accepted:
        _collect_accepted(context, work, accepted)
    return work


def _collect_beside(context: WorkerContext, work: Work) -> None:
    stored = context.store.stored_requests(work.beside)
    for task_id, request in zip(work.beside, stored, strict=True):
        if request is None or request.payload is None:
            body = failure_body(LookupError("the request has expired"))
            work.failed.append(Outcome(task_id, FAILURE, body))
        else:
            work.payloads.append((task_id, request.payload))


def _collect_accepted(context: WorkerContext, work: Work, task_ids: Sequence[str]) -> None:
    for begun in context.ledger.begin(task_ids):
        request = begun.request
        work.accepted[request.id] = request
        if begun.deliveries > context.max_deliveries:
            body = failure_body(process_died(context.max_deliveries))
            work.failed.append(Outcome(request.id, FAILURE, body))
        elif request.payload is not None:
            work.payloads.append((request.id, request.payload))


def _shown(outcomes: Sequence[Outcome]) -> str:
    """Return what Flower shows; raise for a lone failed request, so that it shows FAILURE."""
    failed = [outcome for outcome in outcomes if outcome.state == FAILURE]
    if len(outcomes) > 1:  # a plain text, because Celery takes long to show anything else
        shown = f"{len(outcomes) - len(failed)} succeeded"
        return f"{shown}, failed: {', '.join(each.id for each in failed)}" if failed else shown
    if failed:
        failure = orjson.loads(failed[0].body)
        raise PredictionFailed(f"{failure['type']}: {', '.join(map(str, failure['args']))}")
    return outcomes[0].body.decode(errors="replace")
