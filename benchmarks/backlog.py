"""Whether denzel accepts, and predicts, as fast with a long queue as with a short one.

The pipeline predicts nothing while a file exists.  Twice requests are queued behind that gate
and then let through: a few at first, then as many as asked for.  What is compared is the rate
at which the first and the last of them are accepted, and the rate at which the few are predicted
with nothing, and half of the many with the other half, behind them.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.errors import BenchmarkError
from benchmarks.http_client import ask
from benchmarks.records import Backlog, Load
from benchmarks.redis_client import RedisServer
from benchmarks.sides import Running
from benchmarks.workloads import RESPOND_ASYNC, Workload
from benchmarks.wrk import closed_loop
from denzel.polling import polls

PREDICTED_SECONDS = 600.0
POLL_SECONDS = 0.02
CONNECTIONS = 64


@dataclass(frozen=True)
class Marked:
    """Requests accepted under one load, and the id of one that was sent after them."""

    load: Load
    last_id: str

    @property
    def accepted(self) -> int:
        """How many were accepted, the last one included."""
        return self.load.requests - self.load.refused + 1


def measure_backlog(
    running: Running,
    redis: RedisServer,
    workload: Workload,
    body: Path,
    *,
    repeat: int,
    size: int,
    seconds: float,
) -> Backlog:
    """Queue ``size`` requests, in loads of ``seconds`` each, and compare."""

    def accept() -> Marked:
        load = closed_loop(
            running.url, body, connections=CONNECTIONS, seconds=seconds, prefer=workload.prefer
        )
        return Marked(load, submit(running, workload))

    def fill() -> Iterator[Marked]:
        queued = 0
        while queued < size:
            marked = accept()
            queued += marked.accepted
            yield marked
            if not marked.load.rps:
                raise BenchmarkError("denzel accepts no asynchronous requests")

    await_prediction(running, accept().last_id)  # denzel measures how large its groups may be
    with _held(running.root):
        few = accept()
    predicted_when_empty = few.accepted / _seconds_to_predict(running, few.last_id)
    before = redis.used_memory()
    with _held(running.root):
        many = list(fill())
        queued = sum(each.accepted for each in many)
        per_request = (redis.used_memory() - before) / queued
        when_full = accept()
        require_unpredicted(running, many[0].last_id)
    half = many[: (len(many) + 1) // 2]
    predicted_when_full = sum(each.accepted for each in half) / _seconds_to_predict(
        running, half[-1].last_id
    )
    return Backlog(
        repeat=repeat,
        queued=queued,
        payload_bytes=len(workload.body),
        redis_bytes_per_request=per_request,
        accepted_when_empty=few.load.rps,
        accepted_when_full=when_full.load.rps,
        predicted_when_empty=predicted_when_empty,
        predicted_when_full=predicted_when_full,
    )


def submit(running: Running, workload: Workload) -> str:
    """Send one asynchronous request; return its id."""
    headers = {"Prefer": RESPOND_ASYNC}
    status, answer = ask(running.port, "POST", "/predict", workload.body, headers)
    if status != 200:
        raise BenchmarkError(f"An asynchronous request was refused: {status} {answer}")
    return str(answer["data"]["task_id"])


def await_prediction(running: Running, task_id: str) -> None:
    """Wait until a prediction is made; requests are predicted about in their order."""
    seen: Any = None
    for _ in polls(POLL_SECONDS, timeout=PREDICTED_SECONDS):
        _, seen = ask(running.port, "GET", f"/status/{task_id}")
        if isinstance(seen, dict) and seen.get("status") == "SUCCESS":
            return
    raise BenchmarkError(f"Not predicted after {PREDICTED_SECONDS:g} s: {seen}")


def require_unpredicted(running: Running, task_id: str) -> None:
    """Raise BenchmarkError unless a request still waits: else there is no queue to measure."""
    _, seen = ask(running.port, "GET", f"/status/{task_id}")
    if not isinstance(seen, dict) or seen.get("status") != "PENDING":
        raise BenchmarkError(f"The pipeline did not hold requests back: {seen}")


def _seconds_to_predict(running: Running, task_id: str) -> float:
    started = time.monotonic()
    await_prediction(running, task_id)
    return time.monotonic() - started


@contextmanager
def _held(root: Path) -> Iterator[None]:
    """Keep the pipeline from predicting."""
    gate = root / "hold"
    gate.touch()
    try:
        yield
    finally:
        gate.unlink()
