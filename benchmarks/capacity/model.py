"""From what a request costs each service to what a deployment can answer: plain arithmetic.

Each service can answer what its processors allow; the whole answers what the narrowest allows.
Redis runs scripts on one processor, and so does a worker's main process, whatever the machine has.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass

MICROSECONDS = 1e6


@dataclass(frozen=True)
class Costs:
    """Microseconds of processor time for each request.

    ``process`` is what a process that predicts pays around the model: read, decode, store.
    """

    api: float
    redis: float
    worker: float
    process: float
    callbacks: float
    monitor: float

    @property
    def total(self) -> float:
        """All services together."""
        return float(sum(asdict(self).values()))


@dataclass(frozen=True)
class Model:
    """A model's own time: seconds a call takes, for up to ``batch`` requests at once."""

    seconds: float
    batch: int = 1

    def rate(self, overhead: float) -> float:
        """Return the requests a second of one process that is never without work.

        ``overhead`` is the seconds between two calls: hand the batch over, take it, store it.
        """
        return self.batch / (self.seconds + overhead)


@dataclass(frozen=True)
class Deployment:
    """API processors, workers, and processes that predict in each; one Redis.

    ``shared`` is how many processors all of them share on one machine; 0: each has its own.
    """

    api_processors: float
    workers: int
    processes: int
    shared: int = 0


def limits(
    deployment: Deployment, costs: Costs, model: Model, *, overhead: float, generator: float = 0.0
) -> dict[str, float]:
    """Return the requests a second that each part allows.

    ``generator`` is what the load's own generator pays for each request, in microseconds, where it
    shares the processors.
    """
    found = {
        "api": deployment.api_processors * MICROSECONDS / costs.api,
        "redis": MICROSECONDS / costs.redis,
        "worker": deployment.workers * MICROSECONDS / costs.worker,
        "model": deployment.workers * deployment.processes * model.rate(overhead),
    }
    if deployment.shared:
        found["processors"] = deployment.shared * MICROSECONDS / (costs.total + generator)
    return found


def narrowest(found: Mapping[str, float]) -> tuple[str, float]:
    """Return the part that allows least, and how much that is."""
    name = min(found, key=lambda each: found[each])
    return name, found[name]
