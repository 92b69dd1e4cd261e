"""Rates and times out of two answers."""

from __future__ import annotations

from typing import Any

import pytest

from denzel.figures import Observation, quantiles


def histogram(*counts: int) -> dict[str, Any]:
    """Return a histogram with bounds of 0.1, 1 and 10 s, and what is beyond."""
    *cumulative, total = counts
    buckets = [{"at_most": b, "count": n} for b, n in zip((0.1, 1, 10), cumulative, strict=True)]
    return {"count": total, "sum": 0.0, "buckets": buckets}


def load(time: float, done: int, failed: int = 0, length: int = 0) -> dict[str, Any]:
    """Return what the API answers at a moment of Redis's clock."""
    queue = {
        "length": length, "oldest_seconds": 0.0, "held": 0,
        "predictions": {"SUCCESS": done, "FAILURE": failed},
        "queue_seconds": histogram(done, done, done, done),
        "prediction_seconds": histogram(0, done, done, done),
    }  # fmt: skip
    idle = {**queue, "predictions": {}}
    return {
        "time": time, "queues": {"sync": queue, "async": idle}, "workers": [], "callbacks": {},
        "processes": [], "redis_memory_bytes": 0, "redis_memory_limit_bytes": 0,
    }  # fmt: skip


def test_a_rate_is_what_came_between_two_looks() -> None:
    observation = Observation()
    assert observation.add(load(100.0, 1000)).queues["sync"].rate is None
    figures = observation.add(load(102.0, 1030, failed=10, length=3))
    queue = figures.queues["sync"]
    assert (queue.rate, queue.failure_rate, queue.length) == (20.0, 5.0, 3)
    assert figures.queues["async"].rate == 0.0
    assert (figures.seconds, figures.rates) == (2.0, [20.0])
    assert queue.predicted.p50 == pytest.approx(0.55)


def test_what_is_long_past_counts_no_more() -> None:
    observation = Observation()
    for second in range(0, 60, 2):
        figures = observation.add(load(second, 100 if second < 20 else 100 + second - 20))
    assert figures.seconds == 20.0
    assert figures.queues["sync"].rate == pytest.approx(1.0)
    assert len(figures.rates) == 29


def test_a_redis_that_was_started_anew_begins_anew() -> None:
    observation = Observation()
    observation.add(load(100.0, 1000))
    figures = observation.add(load(102.0, 10))
    assert (figures.seconds, figures.rates) == (0.0, [])
    assert observation.add(load(104.0, 20)).queues["sync"].rate == 5.0


def test_quantiles_are_interpolated_in_their_bucket() -> None:
    found = quantiles(histogram(5, 5, 5, 5), histogram(5, 105, 105, 105))
    assert [found.p50, found.p95] == pytest.approx([0.55, 0.955])
    beyond = quantiles(histogram(0, 0, 0, 0), histogram(0, 0, 0, 7))
    assert (beyond.p50, beyond.p95) == (10, 10)
    assert quantiles(histogram(1, 1, 1, 1), histogram(1, 1, 1, 1)).p50 is None
