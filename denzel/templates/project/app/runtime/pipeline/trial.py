"""Take one request through the pipeline, step by step: for ``denzel check`` and for EXAMPLE."""

from __future__ import annotations

import asyncio
import inspect
import logging
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from app.runtime.pipeline.explanations import describe
from app.runtime.pipeline.json_codec import dump, dump_result, loads
from app.runtime.pipeline.loading import Pipeline, PipelineError, import_pipeline
from app.runtime.pipeline.payloads import dump_verified, load_verified
from app.runtime.pipeline.raw_requests import NOTHING_RETURNED, RawRequest, read_file
from app.runtime.pipeline.streams import predict_whole

log = logging.getLogger("denzel.pipeline")

Step = Callable[..., Any]
"""Called as ``step(name, function, *arguments)``; returns what the function returns."""


def call_verify_input(pipeline: Pipeline, json_data: Any) -> Any:
    """Return what verify_input makes of a request, also where it is an ``async def``."""
    verified = pipeline.verify_input(json_data)
    return asyncio.run(_awaited(verified)) if inspect.isawaitable(verified) else verified


async def _awaited(value: Any) -> Any:
    return await value


def parse(pipeline: Pipeline, request: RawRequest) -> Any:
    """Return what verify_input gets for a request that is no JSON; raises PipelineError."""
    if pipeline.parse_request is None:
        raise PipelineError(
            f"The request is {request.content_type}, but app/logic/pipeline.py takes JSON alone: "
            "define parse_request"
        )
    json_data = pipeline.parse_request(request.content_type, request.body)
    if json_data is None:
        raise PipelineError(NOTHING_RETURNED)
    return json_data


def verify(step: Step, pipeline: Pipeline, json_data: Any) -> bytes:
    """Do what the API does with a request, its JSON or a RawRequest.

    Returns what is sent to the worker.
    """
    if isinstance(json_data, RawRequest):
        json_data = step("parse_request", parse, pipeline, json_data)
    elif pipeline.request is not None:
        json_data = step("REQUEST", pipeline.request.accept_request, json_data)
    verified = step("verify_input", call_verify_input, pipeline, json_data)
    return step("verify_input's JSON", dump_verified, verified)


def predict_alone(step: Step, pipeline: Pipeline, model: Any, payload: bytes) -> bytes:
    """Do what the worker does with a request where there is no predict_batch.

    Returns an outcome's body.
    """
    data = step("process", pipeline.process, model, load_verified(payload))
    if pipeline.streams:
        return bytes(step("predict", predict_whole, pipeline.predict, model, data))
    result = step("predict", pipeline.predict, model, data)
    return step("predict's JSON", dump_result, result, pipeline.response_type)


def predict_as_batch(step: Step, pipeline: Pipeline, model: Any, payload: bytes) -> bytes:
    """Do what the worker does with a request that is alone in its batch."""
    data = step("process", pipeline.process, model, load_verified(payload))
    batch = step("predict_batch", pipeline.predict_batch, model, [data])
    return step("predict_batch's JSON", _only_result, batch, pipeline.response_type)


def _only_result(batch: Any, content_type: str) -> bytes:
    results = list(batch)
    if len(results) != 1:
        raise ValueError(f"predict_batch returned {len(results)} results for 1 request")
    return dump_result(results[0], content_type)


def example_request(pipeline: Pipeline) -> bytes | None:
    """Return EXAMPLE as a request's JSON; None when the pipeline has none, or it is a file.

    Raises PipelineError when it cannot be a request.
    """
    if pipeline.example is None or isinstance(pipeline.example, Path):
        return None
    if not isinstance(pipeline.example, dict):
        kind = type(pipeline.example).__name__
        raise PipelineError(
            f"EXAMPLE must be a dict, as a request is a JSON object, or a Path, not {kind}"
        )
    try:
        return dump(pipeline.example)
    except (TypeError, ValueError) as error:
        reason = str(error).replace("result", "EXAMPLE", 1)
        raise PipelineError(f"EXAMPLE is not a request: {reason}") from error


def example(pipeline: Pipeline) -> Any:
    """Return EXAMPLE as :func:`verify` takes it; None when the pipeline has none.

    Raises PipelineError when it cannot be a request.
    """
    if isinstance(pipeline.example, Path):
        try:
            return read_file(pipeline.example)
        except OSError as error:
            raise PipelineError(f"EXAMPLE cannot be read: {describe(error)}") from error
    body = example_request(pipeline)
    return None if body is None else loads(body)


def usable_example(pipeline: Pipeline | None) -> bytes | None:
    """Return EXAMPLE as a request's JSON; None when there is none, or it cannot be one.

    What is wrong with it, the worker says.
    """
    try:
        return example_request(pipeline) if pipeline else None
    except PipelineError:
        return None


def warm_up(pipeline: Pipeline, model: Any) -> None:
    """Predict for EXAMPLE in this process, so that its first client need not wait for lazy imports.

    Raises PipelineError when that fails; does nothing without EXAMPLE.
    """
    request = example(pipeline)
    if request is None:
        return
    started = time.monotonic()
    payload = verify(_tried, pipeline, request)
    predict = predict_alone if pipeline.predict_batch is None else predict_as_batch
    predict(_tried, pipeline, model, payload)
    log.info("EXAMPLE predicted in %.2f s", time.monotonic() - started)


def _tried(name: str, function: Callable[..., Any], *arguments: Any) -> Any:
    try:
        return function(*arguments)
    except (Exception, SystemExit) as error:
        raise PipelineError(f"EXAMPLE fails in {name}: {describe(error)}") from error


def main() -> int:
    """Print EXAMPLE for ``denzel predict`` without a file: as JSON, or a file's path as a string.

    Prints ``null`` when there is none.
    """
    answer = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what the pipeline prints must not mix with it
    try:
        pipeline = import_pipeline()
        body = example_request(pipeline)
        if isinstance(pipeline.example, Path):
            body = dump(str(pipeline.example))
    except PipelineError as error:
        sys.exit(str(error))
    answer.write(b"null" if body is None else body)
    answer.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main())
