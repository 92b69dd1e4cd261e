"""Predict for a batch of requests, in a worker process."""

from __future__ import annotations

import signal
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from itertools import count
from typing import NamedTuple

from app.runtime.contract import FAILURE, JSON, SUCCESS, Outcome, failure_body, split_body
from app.runtime.pipeline.run import predict_group
from app.runtime.pipeline.streams import Send
from app.runtime.requests.outcomes import Ended, OutcomeStore
from app.runtime.worker.context import current_context
from app.runtime.worker.spans import traced

SHOWN_BYTES = 1000
OUTAGE_SECONDS = 20.0
"""How long Redis may be away before predictions that are made are given up, and made again."""


class WorkItem(NamedTuple):
    """One request of a batch, as its process is given it; ``streams`` if its pieces are wanted.

    ``payload`` is None when it is large, and to be read from Redis.
    """

    id: str
    payload: bytes | None
    api: str
    owner: str
    callback_uri: str | None
    streams: bool = False


class BatchResult(NamedTuple):
    """What the main process is told: seconds, and for each request if it succeeded, what to show.

    A request that had ended before has None.  ``has_predict_batch`` tells of the pipeline, which
    the main process does not import where each process loads the model.
    """

    seconds: float
    results: list[tuple[bool, str] | None]
    has_predict_batch: bool


@dataclass
class _Work:
    """What of a batch is to be predicted, and what needs no prediction."""

    items: dict[str, WorkItem] = field(default_factory=dict)
    payloads: list[tuple[str, bytes]] = field(default_factory=list)
    expired: list[Outcome] = field(default_factory=list)
    large: list[str] = field(default_factory=list)


def run_batch(items: Sequence[WorkItem], is_sync: bool, is_told: bool) -> BatchResult:
    """Predict for requests together, store the outcomes, and tell who waits for them."""
    _end_on_signals()
    context = current_context()
    work = _collect(context.outcomes, items, is_sync)
    # Redis is not waited for within this: where that took long, batches that count as slow would
    # become small and many, and Redis be waited for still longer.
    started = time.perf_counter()
    sends = {item.id: _sender(context.outcomes, item) for item in items if item.streams}
    with traced(context, [task_id for task_id, _ in work.payloads]) as predicted:
        predicted += predict_group(
            context.pipeline, context.model, work.payloads, context.time_limit, sends
        )
    seconds = time.perf_counter() - started if predicted else 0.0
    outcomes = [*work.expired, *predicted]
    ended = [
        Ended(outcome, item.api, item.owner, item.callback_uri)
        for outcome in outcomes
        for item in (work.items[outcome.id],)
    ]
    if is_sync:
        context.outcomes.finish_sync(ended, work.large)
    elif ended:
        context.outcomes.finish(ended, outage_seconds=OUTAGE_SECONDS)
    by_id = {each.id: each for each in outcomes}
    results = [_shown(by_id.get(item.id), is_told) for item in items]
    return BatchResult(seconds, results, context.pipeline.predict_batch is not None)


def _sender(outcomes: OutcomeStore, item: WorkItem) -> Send:
    """Return what sends a request's pieces, one after the other."""
    numbers = count()
    return lambda piece: outcomes.send_piece(item.id, item.api, next(numbers), piece)


@cache
def _end_on_signals() -> None:
    """Have this process end at once when its task is terminated, or its group told to end.

    billiard's handlers, which it sets when a process has begun, raise SystemExit: in the midst of
    the pipeline's code that would count as the prediction's failure.
    """
    for number in (signal.SIGTERM, signal.SIGQUIT, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)


def _collect(outcomes: OutcomeStore, items: Sequence[WorkItem], is_sync: bool) -> _Work:
    work = _Work()
    for item in items:
        payload = item.payload
        work.items[item.id] = item
        if payload is None and is_sync:
            work.large.append(item.id)
            payload = outcomes.payload(item.id)
            if payload is None:
                body = failure_body(LookupError("the request has expired"))
                work.expired.append(Outcome(item.id, FAILURE, body))
        elif payload is None:
            stored = outcomes.stored_request(item.id)
            if stored is not None:  # else it was cancelled meanwhile
                payload = stored[1]
                work.items[item.id] = item._replace(callback_uri=stored[0])
        if payload is not None:
            work.payloads.append((item.id, payload))
    return work


def _shown(outcome: Outcome | None, is_told: bool) -> tuple[bool, str] | None:
    if outcome is None:
        return None
    return outcome.state == SUCCESS, _text(outcome.body) if is_told else ""


def _text(body: bytes) -> str:
    """Return what people are shown of an outcome."""
    content_type, start = split_body(body)
    if content_type != JSON:
        return f"{content_type}, {len(body) - start} bytes"
    return body[:SHOWN_BYTES].decode(errors="replace")
