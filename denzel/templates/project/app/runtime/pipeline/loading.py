"""Import the user's pipeline and load its model; say what is wrong where that cannot be done."""

from __future__ import annotations

import importlib
import inspect
import logging
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from app.runtime.pipeline.explanations import describe
from app.runtime.pipeline.raw_requests import ParseRequest, raw_type
from app.runtime.pipeline.schemas import BadSchema, Schema, read_schema

PIPELINE_MODULE = "app.logic.pipeline"
REQUIRED = ("verify_input", "load_model", "process", "predict")
OPTIONAL = ("predict_batch", "parse_request")
CONTENT_TYPE = re.compile(r"[\w.+-]+/[\w.+-]+(; ?[\w.+-]+=[\w.+-]+)*", re.ASCII)

log = logging.getLogger("denzel.pipeline")


class PipelineError(Exception):
    """app/logic/pipeline.py cannot be used; the text says what is wrong with it."""


@dataclass(frozen=True)
class Pipeline:
    """The user's functions, as found in ``app/logic/pipeline.py``.

    ``example`` is its ``EXAMPLE``: the JSON of a request, or a file's path.  ``request`` and
    ``response`` are what its ``REQUEST`` and ``RESPONSE`` say; each is None when it has none.
    ``streams`` tells that predict yields its answer in pieces.  ``response_type`` is its
    ``RESPONSE_CONTENT_TYPE``, what bytes that predict returns are.
    """

    verify_input: Callable[[Any], Any]
    load_model: Callable[[], Any]
    process: Callable[[Any, Any], Any]
    predict: Callable[[Any, Any], Any]
    predict_batch: Callable[[Any, list[Any]], Sequence[Any]] | None = None
    parse_request: ParseRequest | None = None
    example: Any = None
    request: Schema | None = None
    response: Schema | None = None
    response_type: str = ""
    streams: bool = False


def import_pipeline() -> Pipeline:
    """Import the user's pipeline; raises PipelineError when it is broken."""
    try:
        module = importlib.import_module(PIPELINE_MODULE)
    except (Exception, SystemExit) as error:
        raise PipelineError(
            f"app/logic/pipeline.py cannot be imported: {describe(error)}"
        ) from error
    for name in REQUIRED:
        if not callable(getattr(module, name, None)):
            raise PipelineError(f"app/logic/pipeline.py lacks the function {name}")
    _refuse_what_cannot_be_called(module)
    functions: dict[str, Any] = {
        name: getattr(module, name, None) for name in (*REQUIRED, *OPTIONAL)
    }
    return Pipeline(
        **functions,
        example=getattr(module, "EXAMPLE", None),
        request=_schema(module, "REQUEST"),
        response=_schema(module, "RESPONSE"),
        response_type=_response_type(module),
        streams=_streams(module),
    )


def _schema(module: ModuleType, name: str) -> Schema | None:
    """Return what the pipeline says of its requests or answers; raises PipelineError."""
    try:
        return read_schema(getattr(module, name, None), of_answers=name == "RESPONSE")
    except BadSchema as error:
        raise PipelineError(f"{name} in app/logic/pipeline.py cannot be used: {error}") from error


def _streams(module: ModuleType) -> bool:
    """Tell whether predict yields; raises PipelineError where that does not go with the rest."""
    if not inspect.isgeneratorfunction(module.predict):
        return False
    for name in ("predict_batch", "RESPONSE_CONTENT_TYPE"):
        if getattr(module, name, None) is not None:
            raise PipelineError(
                f"predict holds a `yield`, so that it answers in pieces of JSON; {name} does not "
                "go with that: remove it, or use `return`"
            )
    return True


def _response_type(module: ModuleType) -> str:
    """Return what the bytes are that predict returns, '' for none; raises PipelineError."""
    declared = getattr(module, "RESPONSE_CONTENT_TYPE", None)
    if declared is None:
        return ""
    if isinstance(declared, str) and CONTENT_TYPE.fullmatch(declared) and raw_type(declared):
        return declared
    raise PipelineError(
        "RESPONSE_CONTENT_TYPE in app/logic/pipeline.py must be the type of the bytes that predict "
        f'returns, such as "image/png", not {declared!r}'
    )


def load_model(pipeline: Pipeline) -> Any:
    """Call the user's load_model; raises PipelineError when it raises anything."""
    started = time.monotonic()
    try:
        model = pipeline.load_model()
    except (Exception, SystemExit) as error:
        raise PipelineError(f"load_model raised {describe(error)}") from error
    log.info("Model loaded in %.1f s", time.monotonic() - started)
    return model


def _refuse_what_cannot_be_called(module: ModuleType) -> None:
    """Raise PipelineError for functions whose call returns no result but a coroutine or generator.

    ``async def verify_input`` is awaited in the API.  ``process`` and ``predict_batch`` may be
    generators, since what they return is iterated over, and ``predict``, which then streams.
    """
    for name in (*REQUIRED, *OPTIONAL):
        function = getattr(module, name, None)
        is_async = inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function)
        if name != "verify_input" and is_async:
            where = "API" if name == "parse_request" else "worker"
            raise PipelineError(
                f"{name} is an `async def`, which the {where} does not await: write `def {name}`"
                ", and run what is asynchronous with asyncio.run(…)"
            )
        if name not in ("process", "predict", "predict_batch") and _is_generator(function):
            raise PipelineError(
                f"{name} holds a `yield`, so that calling it returns a generator: "
                "use `return` in its place"
            )


def _is_generator(function: Any) -> bool:
    return inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function)
