"""Rates and times from what a deployment has counted: the differences between two answers.

The counts are those of ``GET /health/load``: they grow from the moment Redis was started.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

WINDOW_SECONDS = 20.0
"""Over how long rates and times are taken; services hand on what they count every two seconds."""
KEPT_RATES = 30
QUANTILES = (0.5, 0.95)
FAILURES = ("FAILURE", "LOST")

Load = Mapping[str, Any]


@dataclass(frozen=True)
class Quantiles:
    """Upper ends of what half, and 19 in 20, took, in seconds; None where nothing was counted."""

    p50: float | None = None
    p95: float | None = None


@dataclass(frozen=True)
class Queue:
    """One kind of requests, ``sync`` or ``async``; rates are for one second.

    ``queued`` is how long requests waited until a worker took them, ``predicted`` how long
    ``process`` and ``predict`` took, for a whole batch.
    """

    length: int
    oldest_seconds: float
    held: int
    rate: float | None
    failure_rate: float | None
    queued: Quantiles
    predicted: Quantiles


@dataclass(frozen=True)
class Figures:
    """How a deployment does, over ``seconds``; ``rates`` are those of the last looks, one each."""

    seconds: float
    queues: dict[str, Queue]
    rates: list[float]
    workers: Sequence[Mapping[str, Any]]
    callbacks: Mapping[str, int]
    processes: Sequence[Mapping[str, Any]]
    redis_memory_bytes: int
    redis_memory_limit_bytes: int


@dataclass
class Observation:
    """Collects answers, and says what they amount to."""

    _loads: deque[Load] = field(default_factory=deque)
    _rates: deque[float] = field(default_factory=lambda: deque(maxlen=KEPT_RATES))

    def add(self, load: Load) -> Figures:
        """Return the figures as of an answer."""
        if self._loads:
            before = self._loads[-1]
            passed = load["time"] - before["time"]
            if passed <= 0 or _total(load) < _total(before):  # Redis was started anew
                self._loads.clear()
            else:
                self._rates.append((_total(load) - _total(before)) / passed)
        self._loads.append(load)
        while load["time"] - self._loads[0]["time"] > WINDOW_SECONDS:
            self._loads.popleft()
        first = self._loads[0]
        return Figures(
            seconds=load["time"] - first["time"],
            queues={kind: _queue(first, load, kind) for kind in load["queues"]},
            rates=list(self._rates),
            workers=load["workers"],
            callbacks=load["callbacks"],
            processes=load["processes"],
            redis_memory_bytes=load["redis_memory_bytes"],
            redis_memory_limit_bytes=load["redis_memory_limit_bytes"],
        )


def _total(load: Load) -> int:
    return sum(sum(queue["predictions"].values()) for queue in load["queues"].values())


def _queue(first: Load, last: Load, kind: str) -> Queue:
    before, now = first["queues"][kind], last["queues"][kind]
    seconds = last["time"] - first["time"]

    def rate(names: Sequence[str]) -> float | None:
        counts = [sum(each["predictions"].get(name, 0) for name in names) for each in (before, now)]
        return (counts[1] - counts[0]) / seconds if seconds > 0 else None

    return Queue(
        length=now["length"],
        oldest_seconds=now["oldest_seconds"],
        held=now["held"],
        rate=rate(list(now["predictions"])),
        failure_rate=rate(FAILURES),
        queued=quantiles(before["queue_seconds"], now["queue_seconds"]),
        predicted=quantiles(before["prediction_seconds"], now["prediction_seconds"]),
    )


def quantiles(before: Mapping[str, Any], now: Mapping[str, Any]) -> Quantiles:
    """Return the quantiles of what a histogram counted between two answers."""
    bounds = [bucket["at_most"] for bucket in now["buckets"]]
    old = {bucket["at_most"]: bucket["count"] for bucket in before["buckets"]}
    counts = [bucket["count"] - old.get(bucket["at_most"], 0) for bucket in now["buckets"]]
    total = now["count"] - before["count"]
    return Quantiles(*(_quantile(share, bounds, counts, total) for share in QUANTILES))


def _quantile(
    share: float, bounds: Sequence[float], counts: Sequence[int], total: int
) -> float | None:
    """Return a quantile, interpolated in its bucket as Prometheus's histogram_quantile does.

    What is beyond the last bound counts as that bound.
    """
    if total <= 0:
        return None
    rank, low, below = share * total, 0.0, 0
    for bound, count in zip(bounds, counts, strict=True):
        if count >= rank:
            return low + (bound - low) * (rank - below) / (count - below)
        low, below = bound, count
    return low
