"""Run the user's pipeline: import it, load its model, predict for a group of requests.

Nothing here knows of Celery, Redis or HTTP.
"""

from __future__ import annotations

import importlib
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import orjson

from app.runtime.contract import FAILURE, SUCCESS, Outcome, failure_body, text_of
from app.runtime.pipeline.serialize import dump_result
from app.runtime.pipeline.time_limit import NO_LIMIT, TimeLimit

PIPELINE_MODULE = "app.logic.pipeline"
REQUIRED = ("verify_input", "load_model", "process", "predict")

log = logging.getLogger("denzel.prediction")


class PipelineError(Exception):
    """app/logic/pipeline.py cannot be used; the text says what is wrong with it."""


@dataclass(frozen=True)
class Pipeline:
    """The user's functions, as found in ``app/logic/pipeline.py``."""

    verify_input: Callable[[Any], Any]
    load_model: Callable[[], Any]
    process: Callable[[Any, Any], Any]
    predict: Callable[[Any, Any], Any]
    predict_batch: Callable[[Any, list[Any]], Sequence[Any]] | None = None


def import_pipeline() -> Pipeline:
    """Import the user's pipeline; raises PipelineError when it is broken."""
    try:
        module = importlib.import_module(PIPELINE_MODULE)
    except (Exception, SystemExit) as error:
        raise PipelineError(
            f"app/logic/pipeline.py cannot be imported: {describe(error)}"
        ) from error
    missing = [name for name in REQUIRED if not callable(getattr(module, name, None))]
    if missing:
        raise PipelineError(f"app/logic/pipeline.py lacks the function {missing[0]}")
    functions = {name: getattr(module, name) for name in REQUIRED}
    return Pipeline(**functions, predict_batch=getattr(module, "predict_batch", None))


def load_model(pipeline: Pipeline) -> Any:
    """Call the user's load_model; raises PipelineError when it raises anything."""
    started = time.monotonic()
    try:
        model = pipeline.load_model()
    except (Exception, SystemExit) as error:
        raise PipelineError(f"load_model raised {describe(error)}") from error
    log.info("Model loaded in %.1f s", time.monotonic() - started)
    return model


def describe(error: BaseException) -> str:
    """Return ``Type: message`` on one line."""
    message = " ".join(text_of(error).split())
    return f"{type(error).__name__}: {message}" if message else type(error).__name__


def predict_group(
    pipeline: Pipeline,
    model: Any,
    requests: Sequence[tuple[str, bytes | str]],
    limit: TimeLimit = NO_LIMIT,
) -> list[Outcome]:
    """Return the outcome of each ``(id, JSON)`` request, in order.

    A request that fails, or takes longer than ``limit``, fails alone.  With ``predict_batch``
    those whose ``process`` succeeded are predicted together.
    """
    failures: dict[str, Outcome] = {}
    processed: dict[str, _Processed] = {}
    for task_id, payload in requests:
        started = time.monotonic()
        try:
            with limit.of(started):
                data = pipeline.process(model, orjson.loads(payload))
        except BaseException as error:  # noqa: BLE001 - it is the user's code
            failures[task_id] = _failure(task_id, error)
        else:
            processed[task_id] = _Processed(data, time.monotonic() - started)
    outcomes = {**failures, **_predict(pipeline, model, processed, limit)}
    return [outcomes[task_id] for task_id, _ in requests]


class _Processed(NamedTuple):
    """What ``process`` returned, and the seconds it took, which count towards the limit."""

    data: Any
    seconds: float


def _predict(
    pipeline: Pipeline, model: Any, processed: dict[str, _Processed], limit: TimeLimit
) -> dict[str, Outcome]:
    if pipeline.predict_batch is not None and processed:
        return _predict_batch(pipeline.predict_batch, model, processed, limit)
    outcomes = {}
    for task_id, each in processed.items():
        try:
            with limit.of(time.monotonic() - each.seconds):
                result = dump_result(pipeline.predict(model, each.data))
        except BaseException as error:  # noqa: BLE001 - it is the user's code
            outcomes[task_id] = _failure(task_id, error)
        else:
            outcomes[task_id] = Outcome(task_id, SUCCESS, result)
    return outcomes


def _predict_batch(
    predict_batch: Callable[[Any, list[Any]], Sequence[Any]],
    model: Any,
    processed: dict[str, _Processed],
    limit: TimeLimit,
) -> dict[str, Outcome]:
    """Predict together; when that raises, one by one, so that only the guilty fail."""
    batch = [each.data for each in processed.values()]
    seconds = min(each.seconds for each in processed.values())
    try:
        with limit.of(time.monotonic() - seconds):
            results = _checked_batch(predict_batch(model, batch), len(batch))
    except WrongBatchLength as error:
        return {task_id: _failure(task_id, error) for task_id in processed}
    except BaseException as error:  # noqa: BLE001 - it is the user's code
        if len(processed) == 1:
            return {task_id: _failure(task_id, error) for task_id in processed}
        outcomes: dict[str, Outcome] = {}
        for task_id, each in processed.items():
            outcomes |= _predict_batch(predict_batch, model, {task_id: each}, limit)
        return outcomes
    return {
        task_id: _outcome(task_id, result)
        for task_id, result in zip(processed, results, strict=True)
    }


class WrongBatchLength(ValueError):
    """Nobody can tell whose result is whose."""


def _checked_batch(results: Any, expected: int) -> list[Any]:
    results = list(results)
    if len(results) != expected:
        raise WrongBatchLength(
            f"predict_batch returned {len(results)} results for {expected} requests"
        )
    return results


def _outcome(task_id: str, result: Any) -> Outcome:
    try:
        return Outcome(task_id, SUCCESS, dump_result(result))
    except BaseException as error:  # noqa: BLE001 - it is the user's code
        return _failure(task_id, error)


def _failure(task_id: str, error: BaseException) -> Outcome:
    log.error("Prediction %s failed", task_id, exc_info=error)
    return Outcome(task_id, FAILURE, failure_body(error))
