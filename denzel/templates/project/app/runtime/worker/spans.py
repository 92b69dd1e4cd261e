"""The spans of predictions, in a worker process, where traces are wanted."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import cache
from typing import TYPE_CHECKING

from redis.exceptions import RedisError

from app.runtime.contract import FAILURE, Outcome
from app.runtime.tracing import Tracing, is_wanted, start_tracing
from app.runtime.worker.context import WorkerContext

if TYPE_CHECKING:
    from opentelemetry.trace import Span

SHOWN_CHARACTERS = 200


@contextmanager
def traced(context: WorkerContext, task_ids: Sequence[str]) -> Iterator[list[Outcome]]:
    """Make a span for each request that is predicted inside and has a trace.

    What is yielded is for their outcomes.  What the pipeline itself traces stands under the span of
    a request that is alone: nobody can tell for which of several it is.
    """
    outcomes: list[Outcome] = []
    tracing = prepare_tracing(context.project) if is_wanted() else None
    if tracing is None or not task_ids:
        yield outcomes
        return
    spans = _start(tracing, context, task_ids)
    with ExitStack() as stack:
        if len(task_ids) == 1 and spans:
            stack.enter_context(tracing.current(*spans.values()))
        yield outcomes
    for outcome in outcomes:
        if outcome.id in spans:
            error = outcome.body.decode()[:SHOWN_CHARACTERS] if outcome.state == FAILURE else ""
            tracing.end(spans[outcome.id], {"denzel.state": outcome.state}, error)


@cache
def prepare_tracing(project: str) -> Tracing | None:
    """Return what makes this process's spans; it inherits none from the worker's main process."""
    return start_tracing(project, "denzel")


def _start(tracing: Tracing, context: WorkerContext, task_ids: Sequence[str]) -> dict[str, Span]:
    try:
        parents = context.outcomes.traceparents(task_ids)
    except RedisError:  # the prediction is made without
        return {}
    return {
        task_id: tracing.start(
            "predict", "CONSUMER", parent,
            {"denzel.task_id": task_id, "denzel.batch_size": len(task_ids)},
        )
        for task_id, parent in zip(task_ids, parents, strict=True)
        if parent
    }  # fmt: skip
