"""Run the pipeline once in this process, without services, and report each step as JSON.

``python -m app.runtime.pipeline.check < sample.json``; without a sample only the import and
``load_model`` are tried.  The report is ``{"ok", "steps": [{"name", "ok", "seconds", "detail"}],
"result"}``.
"""

from __future__ import annotations

import os
import sys
import time
import traceback
from collections.abc import Callable
from typing import Any

import orjson

from app.runtime.pipeline.explanations import describe
from app.runtime.pipeline.json_codec import (
    InvalidJson,
    dump_result,
    dump_verified,
    loads,
    parse_request,
)
from app.runtime.pipeline.loading import Pipeline, import_pipeline
from app.runtime.settings import load_settings


class StepFailed(Exception):
    """A step of the check failed; the report says how."""


class Check:
    """Runs steps in order and keeps the report."""

    def __init__(self) -> None:
        self.steps: list[dict[str, Any]] = []

    def step(self, name: str, function: Callable[..., Any], *arguments: Any) -> Any:
        """Run one step; raises StepFailed when it raises."""
        started = time.perf_counter()
        detail = ""
        try:
            return function(*arguments)
        except (Exception, SystemExit) as error:
            traceback.print_exc()
            detail = str(error) if isinstance(error, InvalidJson) else describe(error)
            raise StepFailed(name) from error
        finally:
            seconds = round(time.perf_counter() - started, 6)
            self.steps.append(
                {"name": name, "ok": not detail, "seconds": seconds, "detail": detail}
            )


def run_check(sample: bytes) -> dict[str, Any]:
    """Return the report of one run through the pipeline; ``sample`` may be empty."""
    check = Check()
    try:
        pipeline: Pipeline = check.step("import", import_pipeline)
        model = check.step("load_model", pipeline.load_model)
        result = _predict(check, pipeline, model, sample) if sample else None
    except StepFailed:
        return {"ok": False, "steps": check.steps, "result": None}
    return {"ok": True, "steps": check.steps, "result": result}


def _predict(check: Check, pipeline: Pipeline, model: Any, sample: bytes) -> Any:
    depth = load_settings().max_json_depth
    json_data = check.step("sample", parse_request, sample, depth)
    verified = check.step("verify_input", pipeline.verify_input, json_data)
    payload = check.step("verify_input's JSON", dump_verified, verified)
    data = check.step("process", pipeline.process, model, loads(payload))
    result = check.step("predict", pipeline.predict, model, data)
    text = check.step("predict's JSON", dump_result, result)
    if pipeline.predict_batch is not None:
        again = pipeline.process(model, loads(payload))
        batch = check.step("predict_batch", pipeline.predict_batch, model, [again])
        check.step("predict_batch's JSON", _only_result, batch)
    return loads(text)


def _only_result(batch: Any) -> bytes:
    results = list(batch)
    if len(results) != 1:
        raise ValueError(f"predict_batch returned {len(results)} results for 1 request")
    return dump_result(results[0])


def main() -> int:
    """Check the pipeline with the sample on standard input; print the report."""
    report_to = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what the pipeline prints must not mix with the report
    report_to.write(orjson.dumps(run_check(sys.stdin.buffer.read())))
    report_to.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main())
