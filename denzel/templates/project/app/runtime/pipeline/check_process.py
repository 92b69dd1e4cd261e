"""The process in which ``check.py`` has the pipeline run.

It says what it does in lines of JSON on a pipe.  As in a deployment, verify_input runs where the
model is not loaded, and predictions where the worker would make them: in a process forked after
``load_model`` if that started no threads, else in a process that loaded a model of its own.
"""

from __future__ import annotations

import argparse
import faulthandler
import gc
import logging
import os
import resource
import statistics
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import orjson

from app.runtime.contract import JSON, split_body
from app.runtime.gpus.devices import NoGpu, find_gpus, show_alone
from app.runtime.pipeline.explanations import describe
from app.runtime.pipeline.json_codec import InvalidJson, dump, loads, parse_json_request
from app.runtime.pipeline.loading import Pipeline, PipelineError, import_pipeline
from app.runtime.pipeline.plan import FORK
from app.runtime.pipeline.raw_requests import RawRequest
from app.runtime.pipeline.schemas import Mismatch
from app.runtime.pipeline.threads import limit_threads, why_not_forkable
from app.runtime.pipeline.time_limit import TimeLimit
from app.runtime.pipeline.tracebacks import user_lines
from app.runtime.pipeline.trial import (
    example,
    predict_alone,
    predict_as_batch,
    verify,
)
from app.runtime.settings import Settings, load_settings

IN_WORKER = ("process", "predict", "predict_batch")
SIGN_OF_LIFE_SECONDS = 1.0
DONE, FAILED = 42, 43
"""Exit codes of a forked process that did not end in the middle of the user's code."""


class StepFailed(Exception):
    """A step failed; what is known of it has been reported."""


class Steps:
    """Runs steps and reports each; ``with`` the worker's time limit where it would apply."""

    def __init__(self, messages: int, limit: TimeLimit) -> None:
        self._messages = messages
        self._limit = limit
        self._began = 0.0

    def say(self, message: dict[str, Any]) -> None:
        """Report something."""
        os.write(self._messages, orjson.dumps(message) + b"\n")

    def begin(self, name: str) -> None:
        """Report that a step begins, or that it is still getting on."""
        self.say({"begin": name, "pid": os.getpid()})

    def __call__(self, name: str, function: Callable[..., Any], *arguments: Any) -> Any:
        """Run one step; raises StepFailed when it raises."""
        self.begin(name)
        started = time.monotonic()
        step: dict[str, Any] = {"name": name, "ok": True, "detail": "", "lines": []}
        try:
            return self._called(name, started, function, arguments)
        except BaseException as error:
            cause = (error.__cause__ if isinstance(error, PipelineError) else None) or error
            plain = isinstance(error, (InvalidJson, Mismatch, PipelineError))
            step |= {
                "ok": False,
                "detail": str(error) if plain else describe(error),
                "lines": user_lines(cause),
            }
            raise StepFailed(name) from error
        finally:
            step["seconds"] = round(time.monotonic() - started, 6)
            self.say({"step": step})

    def but_process(self, name: str, function: Callable[..., Any], *arguments: Any) -> Any:
        """Run one step, without a report if it is ``process``, which has been tried before."""
        if name == "process":
            return function(*arguments)
        return self(name, function, *arguments)

    def _called(
        self, name: str, started: float, function: Callable[..., Any], arguments: tuple[Any, ...]
    ) -> Any:
        if name not in IN_WORKER:
            return function(*arguments)
        if name != "predict":
            self._began = started
        with self._limit.of(self._began):  # of process and predict together
            return function(*arguments)


class CheckProcess:
    """One way through the pipeline, for a sample whose ``content_type`` is empty if it is JSON."""

    def __init__(
        self, steps: Steps, settings: Settings, directory: Path, repeat: int, content_type: str = ""
    ) -> None:
        self._content_type = content_type
        self._steps = steps
        self._settings = settings
        self._directory = directory
        self._payload = directory / "payload"
        self._repeat = repeat

    def run(self, *, shared: bool) -> None:
        """Go all the way; raises StepFailed.  Stops early if the model turns out unshareable.

        ``shared`` is whether predictions run in a fork.
        """
        pipeline: Pipeline = self._steps("import", import_pipeline)
        request = self._request(pipeline)
        if request is not None and not self._payload.exists():
            self._apart(lambda: self._verify(pipeline, request), forks=not why_not_forkable())
        model = self._steps("load_model", pipeline.load_model)
        reason = why_not_forkable() if shared else ""
        if reason and self._settings.model_sharing != FORK:
            self._steps.say({"not_forkable": reason})
            return
        self._steps.say({"not_forkable": ""})
        gc.collect()
        gc.freeze()
        self._apart(lambda: self._predict(pipeline, model), forks=shared)

    def _request(self, pipeline: Pipeline) -> Any:
        sample = (self._directory / "sample").read_bytes()
        if sample and self._content_type:
            self._steps.say({"source": "sample"})
            return RawRequest(self._content_type, sample)
        if sample:
            self._steps.say({"source": "sample"})
            depth = self._settings.max_json_depth
            return dict(self._steps("sample", parse_json_request, sample, depth))
        if pipeline.example is None:
            return None
        self._steps.say({"source": "EXAMPLE"})
        return self._steps("EXAMPLE", example, pipeline)

    def _verify(self, pipeline: Pipeline, request: Any) -> None:
        self._payload.write_bytes(verify(self._steps, pipeline, request))

    def _predict(self, pipeline: Pipeline, model: Any) -> None:
        if self._payload.exists():
            payload = self._payload.read_bytes()
            result = predict_alone(self._steps, pipeline, model, payload)
            if pipeline.predict_batch is not None:
                result = predict_as_batch(self._steps.but_process, pipeline, model, payload)
            content_type, start = split_body(result)
            if content_type != JSON:
                result = dump({"content_type": content_type, "bytes": len(result) - start})
            elif pipeline.response is not None:
                self._steps("RESPONSE", pipeline.response.accept, loads(result), "result")
            self._steps.say({"result": result.decode()})
            if self._repeat:
                self._steps.say({"repeat": self._timed(pipeline, model, payload)})
        self._steps.say({"memory": memory_held()})

    def _timed(self, pipeline: Pipeline, model: Any, payload: bytes) -> dict[str, Any]:
        """Predict again and again; return the median and the longest time, in seconds."""
        predict = predict_alone if pipeline.predict_batch is None else predict_as_batch
        name = f"{self._repeat} predictions"
        seconds: list[float] = []

        def repeat() -> None:
            shown_at = time.monotonic()
            for _ in range(self._repeat):
                started = time.monotonic()
                predict(_called, pipeline, model, payload)
                ended = time.monotonic()
                seconds.append(ended - started)
                if ended - shown_at > SIGN_OF_LIFE_SECONDS:
                    self._steps.begin(name)
                    shown_at = ended

        self._steps(name, repeat)
        return {
            "count": len(seconds),
            "median_seconds": round(statistics.median(seconds), 6),
            "worst_seconds": round(max(seconds), 6),
        }

    def _apart(self, function: Callable[[], None], *, forks: bool) -> None:
        """Call ``function`` in a forked process if that is safe, else here; raises StepFailed."""
        if not forks:
            function()
            return
        sys.stdout.flush()
        pid = os.fork()
        if not pid:
            code = FAILED
            with suppress(StepFailed):
                function()
                code = DONE
            sys.stdout.flush()
            os._exit(code)
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        if code not in (DONE, FAILED):
            self._steps.say({"died": code})
        if code != DONE:
            raise StepFailed


def _called(name: str, function: Callable[..., Any], *arguments: Any) -> Any:
    return function(*arguments)


def memory_held() -> dict[str, int] | None:
    """Return the bytes of memory this process holds; ``pss`` counts what is shared by parts.

    As Linux tells it (proc(5), smaps_rollup); None elsewhere.
    """
    try:
        lines = Path("/proc/self/smaps_rollup").read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    sizes = {line.split()[0]: int(line.split()[1]) * 1024 for line in lines[1:]}
    return {"rss_bytes": sizes["Rss:"], "pss_bytes": sizes["Pss:"]}


def main() -> int:
    """Run the pipeline as the arguments say."""
    parser = argparse.ArgumentParser()
    parser.add_argument("directory", type=Path)
    parser.add_argument("messages", type=int)
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--repeat", type=int, required=True)
    parser.add_argument("--content-type", default="")
    parser.add_argument("--shared", action="store_true")
    chosen = parser.parse_args()
    settings = load_settings()
    limit_threads(chosen.threads)  # before anything of the user's is imported
    if settings.gpu:  # as each of the worker's processes sees one GPU alone
        with suppress(NoGpu):  # on another machine than the one that serves
            show_alone(find_gpus()[0])
    os.set_inheritable(chosen.messages, False)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    logging.basicConfig(level=settings.log_level.upper(), stream=sys.stderr)
    with (chosen.directory / "stack").open("w", encoding="utf-8") as stack:
        faulthandler.enable(stack)
        steps = Steps(chosen.messages, TimeLimit(settings.prediction_timeout))
        with suppress(StepFailed):
            process = CheckProcess(
                steps, settings, chosen.directory, chosen.repeat, chosen.content_type
            )
            process.run(shared=chosen.shared)
    return 0


if __name__ == "__main__":
    sys.exit(main())
