"""One side, started once, under each load that its workload asks for."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from benchmarks.backlog import await_prediction, submit
from benchmarks.http_client import ask
from benchmarks.open_loop import open_loop
from benchmarks.plan import Plan
from benchmarks.processes import cpu_seconds, memory
from benchmarks.records import Load, Sample, Start
from benchmarks.sides import Running
from benchmarks.workloads import Workload
from benchmarks.wrk import closed_loop

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
        for connections in self.workload.connections:
            if connections in self.plan.connections:
                sample = self._closed(connections)
                self.seen(sample)
                if self.workload.open_loop and connections == REFERENCE_CONNECTIONS:
                    self.seen(self._open(sample.load.rps * HALF))
        loaded = memory(self.running.pids)
        return Start(
            self.workload.name, self.side, self.repeat, self.running.start_seconds, len(pids),
            idle_cpu, idle.pss, idle.rss, loaded.pss, loaded.rss,
        )  # fmt: skip

    def _closed(self, connections: int) -> Sample:
        def load(seconds: float) -> Load:
            return closed_loop(
                self.running.url, self.body, connections=connections, seconds=seconds,
                prefer=self.workload.prefer,
            )  # fmt: skip

        load(self.plan.warm_up)
        self._drain()
        before = cpu_seconds(self.running.pids)
        measured = load(self.plan.seconds)
        if self.workload.prefer:
            self._drain()  # what was only accepted is to be paid for, too
        cpu_ms = (cpu_seconds(self.running.pids) - before) / max(measured.requests, 1) * 1e3
        self._drain()
        return Sample(self.workload.name, self.side, self.repeat, connections, measured, cpu_ms)

    def _open(self, rate: float) -> Sample:
        before = cpu_seconds(self.running.pids)
        measured, late = open_loop(
            self.running.url, self.body, rate=rate, seconds=self.plan.seconds,
            seed=self.plan.seed + self.repeat,
        )  # fmt: skip
        cpu_ms = (cpu_seconds(self.running.pids) - before) / measured.requests * 1e3
        return Sample(
            self.workload.name, self.side, self.repeat, 0, measured, cpu_ms,
            offered=rate, late=late,
        )  # fmt: skip

    def _drain(self) -> None:
        """Wait until the server is done with what the load left behind.

        wrk leaves a request on every connection when its time is up.  Requests are served about
        in their order, so one that is sent last is answered last.
        """
        if self.workload.prefer and self.side.startswith("denzel"):
            await_prediction(self.running, submit(self.running, self.workload))
        else:
            ask(self.running.port, "POST", "/predict", self.workload.body)
