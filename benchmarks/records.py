"""What was measured, as data; one JSON file holds it all."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Load:
    """What a load generator saw; latencies in milliseconds.

    ``refused`` were answered with an error and are among ``requests``; ``failed`` got no answer.
    """

    requests: int
    seconds: float
    p50: float
    p90: float
    p99: float
    max: float
    refused: int = 0
    failed: int = 0

    @property
    def rps(self) -> float:
        """Answers a second, refusals not counted."""
        return (self.requests - self.refused) / self.seconds if self.seconds else 0.0


@dataclass(frozen=True)
class Sample:
    """One side under one load, once.

    ``cpu_ms`` is processor time for each answer, of all the side's processes.  ``offered`` is
    the rate of an open loop; None for a closed one.  ``late`` is how late, in ms, the open
    loop's generator itself was with one request in a hundred.
    """

    workload: str
    side: str
    repeat: int
    connections: int
    load: Load
    cpu_ms: float | None = None
    offered: float | None = None
    late: float | None = None


@dataclass(frozen=True)
class Start:
    """One start of a side: seconds until the first right answer, and memory in MiB."""

    workload: str
    side: str
    repeat: int
    seconds: float
    processes: int
    idle_cpu_percent: float
    idle_pss: float
    idle_rss: float
    loaded_pss: float
    loaded_rss: float


@dataclass(frozen=True)
class Backlog:
    """denzel with an almost empty queue, and with a long one; rates a second."""

    repeat: int
    queued: int
    payload_bytes: int
    redis_bytes_per_request: float
    accepted_when_empty: float
    accepted_when_full: float
    predicted_when_empty: float
    predicted_when_full: float


@dataclass(frozen=True)
class Overload:
    """A side under more requests than its model can answer.

    ``in_time`` is answers a second within the timeout, ``capacity`` the most that the model
    allows, ``wait_after`` the seconds until a lone client is answered once the others are gone.
    """

    workload: str
    load: str
    side: str
    repeat: int
    capacity: float
    in_time: float
    wait_after: float

    @property
    def share(self) -> float:
        """Answers in time as a part of the capacity."""
        return self.in_time / self.capacity


@dataclass
class Results:
    """Everything one run measured, and where."""

    machine: dict[str, str] = field(default_factory=dict)
    options: dict[str, Any] = field(default_factory=dict)
    samples: list[Sample] = field(default_factory=list)
    starts: list[Start] = field(default_factory=list)
    backlogs: list[Backlog] = field(default_factory=list)
    overloads: list[Overload] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    def save(self, path: Path) -> None:
        """Write everything as JSON."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(asdict(self), indent=1) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, path: Path) -> Results:
        """Return what ``save`` wrote."""
        data = json.loads(path.read_text(encoding="utf-8"))
        samples = [Sample(**{**each, "load": Load(**each["load"])}) for each in data["samples"]]
        return cls(
            machine=data["machine"],
            options=data["options"],
            samples=samples,
            starts=[Start(**each) for each in data["starts"]],
            backlogs=[Backlog(**each) for each in data["backlogs"]],
            overloads=[Overload(**each) for each in data.get("overloads", [])],
            failures=data["failures"],
        )
