"""Predict for a group of requests; a request that fails, fails alone.

Nothing here knows of Celery, Redis or HTTP.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from types import MappingProxyType
from typing import Any, NamedTuple

from app.runtime.contract import CANCELLED, FAILURE, REVOKED, SUCCESS, Outcome, failure_body
from app.runtime.gpus.errors import free_memory, is_out_of_memory, lost_context
from app.runtime.logs import current_task
from app.runtime.pipeline.explanations import NO_GPU_MEMORY, advice
from app.runtime.pipeline.json_codec import dump_result
from app.runtime.pipeline.loading import Pipeline
from app.runtime.pipeline.payloads import load_verified
from app.runtime.pipeline.streams import Send, Unwanted, consume
from app.runtime.pipeline.time_limit import NO_LIMIT, TimeLimit
from app.runtime.pipeline.tracebacks import without_our_frames

log = logging.getLogger("denzel.prediction")


def predict_group(
    pipeline: Pipeline,
    model: Any,
    requests: Sequence[tuple[str, bytes | str]],
    limit: TimeLimit = NO_LIMIT,
    sends: Mapping[str, Send] = MappingProxyType({}),
) -> list[Outcome]:
    """Return the outcome of each ``(id, payload)`` request, in order.

    A request that fails, or takes longer than ``limit``, fails alone.  With ``predict_batch``
    those whose ``process`` succeeded are predicted together.  ``sends`` are for those, by id, whose
    pieces are wanted as they come.  Raises GpuContextLost when this process cannot go
    on: then there are no outcomes.
    """
    failures: dict[str, Outcome] = {}
    processed: dict[str, _Processed] = {}
    for task_id, payload in requests:
        current_task.set(task_id)
        started = time.monotonic()
        try:
            with limit.of(started):
                data = pipeline.process(model, load_verified(payload))
        except BaseException as error:  # noqa: BLE001 - it is the user's code
            failures[task_id] = _failure(task_id, error)
        else:
            processed[task_id] = _Processed(data, time.monotonic() - started)
    outcomes = {**failures, **_predict(pipeline, model, processed, limit, sends)}
    current_task.set("")
    return [outcomes[task_id] for task_id, _ in requests]


class _Processed(NamedTuple):
    """What ``process`` returned, and the seconds it took, which count towards the limit."""

    data: Any
    seconds: float


def _predict(
    pipeline: Pipeline,
    model: Any,
    processed: dict[str, _Processed],
    limit: TimeLimit,
    sends: Mapping[str, Send],
) -> dict[str, Outcome]:
    outcomes: dict[str, Outcome] = {}
    if pipeline.predict_batch is not None and len(processed) > 1:
        outcomes = _predict_together(pipeline, model, processed, limit)
    if not outcomes:
        for task_id, each in processed.items():
            alone = partial(_predict_alone, pipeline, model, each, limit, sends.get(task_id))
            outcomes[task_id] = _outcome(task_id, alone)
    return outcomes


def _predict_together(
    pipeline: Pipeline, model: Any, processed: dict[str, _Processed], limit: TimeLimit
) -> dict[str, Outcome]:
    """Return the outcomes of a batch; none when it raises, so that each is tried alone.

    It counts as raising when there are not as many results as requests, since nobody can tell
    whose is whose.
    """
    current_task.set("")
    batch = [each.data for each in processed.values()]
    seconds = min(each.seconds for each in processed.values())
    try:
        with limit.of(time.monotonic() - seconds):
            results = _batch_results(pipeline, model, batch)
    except BaseException as error:  # noqa: BLE001 - it is the user's code
        count = len(batch)
        _log(logging.WARNING, error, "predict_batch failed; each of %d is tried alone", count)
        _give_up_if_lost(error)
        memory_is_full = is_out_of_memory(error)
    else:
        return {
            task_id: _outcome(task_id, partial(dump_result, result, pipeline.response_type))
            for task_id, result in zip(processed, results, strict=True)
        }
    if memory_is_full:  # not while the exception is held, which holds what was on the GPU
        free_memory()
    return {}


def _predict_alone(
    pipeline: Pipeline, model: Any, processed: _Processed, limit: TimeLimit, send: Send | None
) -> bytes:
    """Return the body of one request's outcome; raises what the pipeline raises, and Unwanted."""
    started = time.monotonic() - processed.seconds
    if pipeline.streams:
        return consume(pipeline.predict(model, processed.data), send, limit, started)
    with limit.of(started):
        if pipeline.predict_batch is not None:
            (result,) = _batch_results(pipeline, model, [processed.data])
        else:
            result = pipeline.predict(model, processed.data)
        return dump_result(result, pipeline.response_type)


def _batch_results(pipeline: Pipeline, model: Any, batch: list[Any]) -> list[Any]:
    assert pipeline.predict_batch is not None
    results = list(pipeline.predict_batch(model, batch))
    if len(results) != len(batch):
        noun = "request" if len(batch) == 1 else "requests"
        raise ValueError(f"predict_batch returned {len(results)} results for {len(batch)} {noun}")
    return results


def _outcome(task_id: str, body: Callable[[], bytes]) -> Outcome:
    """Return a request's outcome, whose ``body`` is still to be made by the user's code."""
    current_task.set(task_id)
    try:
        return Outcome(task_id, SUCCESS, body())
    except Unwanted:
        log.info("Prediction %s ended: its client has gone", task_id)
        return Outcome(task_id, REVOKED, CANCELLED)
    except BaseException as error:  # noqa: BLE001 - it is the user's code
        outcome = _failure(task_id, error)
        memory_is_full = is_out_of_memory(error)
    if memory_is_full:  # not while the exception is held, which holds what was on the GPU
        free_memory()
    return outcome


def _failure(task_id: str, error: BaseException) -> Outcome:
    _log(logging.ERROR, error, "Prediction %s failed", task_id)
    _give_up_if_lost(error)
    hint = NO_GPU_MEMORY if is_out_of_memory(error) else ""
    return Outcome(task_id, FAILURE, failure_body(error, hint))


def _give_up_if_lost(error: BaseException) -> None:
    """Raise GpuContextLost if what was raised means that this process can use its GPU no more."""
    if lost := lost_context(error):
        raise lost from error


def _log(level: int, error: BaseException, message: str, *arguments: object) -> None:
    """Log an exception with the user's part of its traceback, and what to do about it."""
    hint = advice(error)
    trace = (type(error), error, without_our_frames(error))
    text = message % arguments
    log.log(level, "%s", f"{text}. {hint}" if hint else text, exc_info=trace)
