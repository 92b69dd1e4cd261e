"""What denzel is to reach, each as a ratio of two things measured in the same run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from benchmarks.records import Backlog, Load, Results, Start
from benchmarks.summary import ByRepeat, Spread, divided

KIB = 1024
ORIGINAL_RSS_MIB = 723.0
"""Idle memory of denzel 0.3.0 with the iris model, all processes, measured on two cores."""


@dataclass(frozen=True)
class Target:
    """A ratio with a bound; ``required`` is None for one that is only watched."""

    workload: str
    text: str
    required: float | None
    at_least: bool
    ratio: Callable[[Results], ByRepeat]

    def spread(self, results: Results) -> Spread | None:
        """Return the ratio's median and range over the repeats; None when not measured."""
        return Spread.of(self.ratio(results).values())

    def is_met(self, spread: Spread) -> bool | None:
        """Tell whether the median keeps the bound; None without one."""
        if self.required is None:
            return None
        kept = spread.median >= self.required if self.at_least else spread.median <= self.required
        return kept


def rates(workload: str, side: str, connections: int) -> Callable[[Results], ByRepeat]:
    """Return how a side's answers a second are found, repeat by repeat."""
    return closed(workload, side, connections, lambda load: load.rps)


def closed(
    workload: str, side: str, connections: int, value: Callable[[Load], float]
) -> Callable[[Results], ByRepeat]:
    """Return how a value of a closed loop is found, repeat by repeat."""

    def find(results: Results) -> ByRepeat:
        return {
            sample.repeat: value(sample.load)
            for sample in results.samples
            if (sample.workload, sample.side, sample.connections) == (workload, side, connections)
            and sample.offered is None
        }

    return find


def started(
    workload: str, side: str, value: Callable[[Start], float]
) -> Callable[[Results], ByRepeat]:
    """Return how a value of a side's starts is found, repeat by repeat."""

    def find(results: Results) -> ByRepeat:
        return {
            start.repeat: value(start)
            for start in results.starts
            if (start.workload, start.side) == (workload, side)
        }

    return find


def quotient(
    left: Callable[[Results], ByRepeat], right: Callable[[Results], ByRepeat]
) -> Callable[[Results], ByRepeat]:
    """Return how one value is divided by the other of the same repeat."""
    return lambda results: divided(left(results), right(results))


def _iris(side: str, connections: int = 64) -> Callable[[Results], ByRepeat]:
    return rates("iris", side, connections)


def _backlog(value: Callable[[Backlog], float]) -> Callable[[Results], ByRepeat]:
    return lambda results: {each.repeat: value(each) for each in results.backlogs}


_P50 = closed("iris", "denzel-batch", 1, lambda load: load.p50)
_P99 = closed("iris", "denzel-batch", 1, lambda load: load.p99)
_LITSERVE_P50 = closed("iris", "litserve", 1, lambda load: load.p50)

TARGETS = (
    Target("iris, 64 connections, with predict_batch", "answers/s ÷ FastAPI", 4.0, True,
           quotient(_iris("denzel-batch"), _iris("fastapi"))),
    Target("", "answers/s ÷ Mosec without batches", 1.5, True,
           quotient(_iris("denzel-batch"), _iris("mosec"))),
    Target("", "answers/s ÷ the Falcon floor", 0.5, True,
           quotient(_iris("denzel-batch"), _iris("falcon"))),
    Target("", "answers/s ÷ Mosec with batches", None, True,
           quotient(_iris("denzel-batch"), _iris("mosec-batch"))),
    Target("iris, 64 connections, without predict_batch", "answers/s ÷ FastAPI", 1.5, True,
           quotient(_iris("denzel"), _iris("fastapi"))),
    Target("", "answers/s ÷ one Celery task a request", 10.0, True,
           quotient(_iris("denzel"), _iris("celery"))),
    Target("echo, 64 connections", "answers/s ÷ FastAPI", 1.5, True,
           quotient(rates("echo", "denzel", 64), rates("echo", "fastapi", 64))),
    Target("", "answers/s ÷ LitServe", 4.0, True,
           quotient(rates("echo", "denzel", 64), rates("echo", "litserve", 64))),
    Target("10 ms a batch, 64 connections", "answers/s ÷ Mosec with batches", 1.0, True,
           quotient(rates("sleep10", "denzel-batch", 64), rates("sleep10", "mosec-batch", 64))),
    Target("iris, one connection", "p50 ÷ LitServe's p50", 1.0, False,
           quotient(_P50, _LITSERVE_P50)),
    Target("", "p99 ÷ its own p50", 3.0, False, quotient(_P99, _P50)),
    Target("asynchronous, 64 connections", "accepted/s ÷ FastAPI's answers/s on echo", 1.2, True,
           quotient(rates("accept", "denzel", 64), rates("accept", "fastapi", 64))),
    Target("a queue of 100,000 requests", "accepted/s ÷ with an empty queue", 0.8, True,
           _backlog(lambda b: b.accepted_when_full / b.accepted_when_empty)),
    Target("", "predicted/s ÷ with a short queue", 0.8, True,
           _backlog(lambda b: b.predicted_when_full / b.predicted_when_empty)),
    Target("", "Redis memory a request ÷ (2 × its payload + 1 KiB)", 1.0, False,
           _backlog(lambda b: b.redis_bytes_per_request / (2 * b.payload_bytes + KIB))),
    Target("idle memory, all services, no model",
           f"RSS ÷ the original's {ORIGINAL_RSS_MIB:.0f} MiB", 0.5, False,
           quotient(started("echo", "denzel", lambda start: start.idle_rss),
                    started("echo", "denzel", lambda start: ORIGINAL_RSS_MIB))),
)  # fmt: skip
