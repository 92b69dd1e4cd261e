"""Predict for a group of requests; a request that fails, fails alone.

Nothing here knows of Celery, Redis or HTTP.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
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
    if pipeline.predict_batch is not None and processed:
        return _predict_batch(pipeline, model, processed, limit)
    outcomes = {}
    for task_id, each in processed.items():
        current_task.set(task_id)
        if pipeline.streams:
            outcomes[task_id] = _stream(pipeline, model, task_id, each, limit, sends.get(task_id))
            continue
        memory_is_full = False
        try:
            with limit.of(time.monotonic() - each.seconds):
                result = dump_result(pipeline.predict(model, each.data), pipeline.response_type)
        except BaseException as error:  # noqa: BLE001 - it is the user's code
            outcomes[task_id] = _failure(task_id, error)
            memory_is_full = is_out_of_memory(error)
        else:
            outcomes[task_id] = Outcome(task_id, SUCCESS, result)
        if memory_is_full:  # not while the exception is held, which holds what was on the GPU
            free_memory()
    return outcomes


def _stream(
    pipeline: Pipeline,
    model: Any,
    task_id: str,
    processed: _Processed,
    limit: TimeLimit,
    send: Send | None,
) -> Outcome:
    """Predict with a predict that yields."""
    started = time.monotonic() - processed.seconds
    try:
        body = consume(pipeline.predict(model, processed.data), send, limit, started)
    except Unwanted:
        log.info("Prediction %s ended: its client has gone", task_id)
        return Outcome(task_id, REVOKED, CANCELLED)
    except BaseException as error:  # noqa: BLE001 - it is the user's code
        outcome = _failure(task_id, error)
        memory_is_full = is_out_of_memory(error)
    else:
        return Outcome(task_id, SUCCESS, body)
    if memory_is_full:  # not while the exception is held, which holds what was on the GPU
        free_memory()
    return outcome


def _predict_batch(
    pipeline: Pipeline,
    model: Any,
    processed: dict[str, _Processed],
    limit: TimeLimit,
) -> dict[str, Outcome]:
    """Predict together; when that raises, one by one, so that only the guilty fail.

    It counts as raising when there are not as many results as requests, since nobody can tell
    whose is whose.
    """
    assert pipeline.predict_batch is not None
    batch = [each.data for each in processed.values()]
    current_task.set(next(iter(processed)) if len(processed) == 1 else "")
    seconds = min(each.seconds for each in processed.values())
    outcomes: dict[str, Outcome] = {}
    try:
        with limit.of(time.monotonic() - seconds):
            results = _checked_batch(pipeline.predict_batch(model, batch), len(batch))
    except BaseException as error:  # noqa: BLE001 - it is the user's code
        memory_is_full = is_out_of_memory(error)
        if len(processed) == 1:
            outcomes = {task_id: _failure(task_id, error) for task_id in processed}
        else:
            count = len(batch)
            _log(logging.WARNING, error, "predict_batch failed; each of %d is tried alone", count)
            _give_up_if_lost(error)
    else:
        return {
            task_id: _outcome(task_id, result, pipeline.response_type)
            for task_id, result in zip(processed, results, strict=True)
        }
    if memory_is_full:  # not while the exception is held, which holds what was on the GPU
        free_memory()
    if not outcomes:
        for task_id, each in processed.items():
            outcomes |= _predict_batch(pipeline, model, {task_id: each}, limit)
    return outcomes


def _checked_batch(results: Any, expected: int) -> list[Any]:
    results = list(results)
    if len(results) != expected:
        noun = "request" if expected == 1 else "requests"
        raise ValueError(f"predict_batch returned {len(results)} results for {expected} {noun}")
    return results


def _outcome(task_id: str, result: Any, content_type: str) -> Outcome:
    try:
        return Outcome(task_id, SUCCESS, dump_result(result, content_type))
    except BaseException as error:  # noqa: BLE001 - it is the user's code
        return _failure(task_id, error)


def _failure(task_id: str, error: BaseException) -> Outcome:
    current_task.set(task_id)
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
