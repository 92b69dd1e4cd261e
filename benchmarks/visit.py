"""One side, started once, under each load that its workload asks for."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from benchmarks.meter import Meter
from benchmarks.plan import Plan
from benchmarks.processes import cpu_seconds, memory
from benchmarks.records import Sample, Start
from benchmarks.sides import Running
from benchmarks.workloads import Workload

REFERENCE_CONNECTIONS = 64
"""Where an open loop's rate is taken from."""
HALF = 0.5


@dataclass(frozen=True)
class Visit:
    """A running side to be measured; ``seen`` is called with each sample."""

    plan: Plan
    workload: Workload
    side: str
    repeat: int
    running: Running
    body: Path
    seen: Callable[[Sample], None]

    def measure(self) -> Start:
        """Measure under every load; return what the start and the memory came to."""
        time.sleep(self.plan.warm_up)  # what a start leaves behind settles
        pids = self.running.pids
        used, since = cpu_seconds(pids), time.monotonic()
        time.sleep(self.plan.warm_up)
        idle_cpu = (cpu_seconds(pids) - used) / (time.monotonic() - since) * 100
        idle = memory(pids)
        meter = self._meter()
        for connections in self.workload.connections:
            if connections in self.plan.connections:
                sample = meter.closed(connections)
                self.seen(sample)
                if self.workload.open_loop and connections == REFERENCE_CONNECTIONS:
                    self.seen(meter.open(sample.load.rps * HALF))
        loaded = memory(self.running.pids)
        return Start(
            self.workload.name, self.side, self.repeat, self.running.start_seconds, len(pids),
            idle_cpu, idle.pss, idle.rss, loaded.pss, loaded.rss,
        )  # fmt: skip

    def _meter(self) -> Meter:
        plan = self.plan
        return Meter(
            self.workload, self.workload.name, self.side, self.repeat, self.running, self.body,
            plan.seconds, plan.warm_up, plan.seed, is_queueing=self.side.startswith("denzel"),
        )  # fmt: skip
