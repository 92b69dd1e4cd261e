"""What the two versions are asked for: a pipeline, settings, and the loads put on it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from benchmarks.sides import Batching
from benchmarks.workloads import WORKLOADS, Workload


@dataclass(frozen=True)
class Closed:
    """So many connections, each of which sends its next request when it has its answer."""

    connections: int

    @property
    def label(self) -> str:
        """How the load is chosen on the command line."""
        return f"c{self.connections}"


@dataclass(frozen=True)
class Open:
    """So many requests a second, at random moments, whatever becomes of earlier ones."""

    rate: int

    @property
    def label(self) -> str:
        """How the load is chosen on the command line."""
        return f"{self.rate}/s"


@dataclass(frozen=True)
class Excess:
    """More requests a second than the model can answer, for ``seconds`` after a ``ramp``.

    ``capacity`` is what the model can do, ``timeout`` how long the service lets a client wait.
    """

    offered: int
    capacity: int
    ramp: float
    seconds: float
    timeout: float

    @property
    def label(self) -> str:
        """How the load is chosen on the command line."""
        return f"{self.offered}/s"


@dataclass(frozen=True)
class Crowd:
    """So many clients for ``seconds``, each of which asks again when it is answered or refused."""

    clients: int
    capacity: int
    seconds: float

    @property
    def label(self) -> str:
        """How the load is chosen on the command line."""
        return f"c{self.clients}"


Kind = Closed | Open | Excess | Crowd


@dataclass(frozen=True)
class Scenario:
    """One deployment of each version, and what is measured on it.

    ``settings`` are environment variables, beside the workload's own.  ``mosec`` asks for Mosec
    with the same batches in the same round.  ``most_rounds`` limits one that takes long and
    varies little; ``default`` tells whether it is measured unless others are asked for.
    """

    name: str
    title: str
    workload: Workload
    batches: bool
    loads: tuple[Kind, ...]
    settings: dict[str, str] = field(default_factory=dict)
    mosec: Batching | None = None
    most_rounds: int = 1000
    default: bool = True


RATES = (Open(200), Open(1000), Open(2000))
SLEEP = replace(WORKLOADS["sleep10"], settings={})
"""Without predict_batch, a process of it answers 100 requests a second at most."""


def _batches_of(size: int, name: str) -> Scenario:
    wait = 0.005
    return Scenario(
        name,
        f"10 ms for any batch of up to {size}, one model process, batches wait for 5 ms",
        WORKLOADS["sleep10"],
        True,
        (Closed(64),),
        settings={"BATCH_MAX_SIZE": str(size), "BATCH_MAX_WAIT": str(wait)},
        mosec=Batching(size, wait),
    )


SCENARIOS = {
    scenario.name: scenario
    for scenario in (
        Scenario(
            "iris",
            "the tutorial's classifier, without predict_batch",
            WORKLOADS["iris"],
            False,
            (Closed(64), Closed(1), *RATES),
        ),
        Scenario(
            "iris-batch",
            "the tutorial's classifier, with predict_batch",
            WORKLOADS["iris"],
            True,
            (Closed(64), Closed(1), *RATES),
        ),
        Scenario("echo", "a model that does nothing", WORKLOADS["echo"], False, (Closed(64),)),
        Scenario(
            "accept", "echo, asynchronous: accepted a second", WORKLOADS["accept"], False,
            (Closed(64),),
        ),
        _batches_of(32, "sleep10"),
        _batches_of(64, "sleep10-64"),
        Scenario(
            "overload",
            "10 ms a request, two processes, twice as many requests as they can answer",
            SLEEP,
            False,
            (Excess(offered=400, capacity=200, ramp=6.0, seconds=14.0, timeout=5.0),),
            settings={"WORKER_CONCURRENCY": "2"},
            most_rounds=2,
        ),
        Scenario(
            "crowd",
            "10 ms a request, two processes, 1,500 clients that come again and again",
            SLEEP,
            False,
            (Crowd(clients=1500, capacity=200, seconds=15.0),),
            settings={"WORKER_CONCURRENCY": "2"},
            most_rounds=2,
            default=False,
        ),
    )
}  # fmt: skip

LABELS = tuple(
    dict.fromkeys(load.label for scenario in SCENARIOS.values() for load in scenario.loads)
)
