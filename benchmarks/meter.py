"""One load on one running side, measured: answers, latencies, processor time."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

from benchmarks.backlog import await_prediction, submit
from benchmarks.http_client import ask
from benchmarks.open_loop import open_loop
from benchmarks.processes import cpu_seconds
from benchmarks.records import Load, Sample
from benchmarks.sides import Running
from benchmarks.workloads import Workload
from benchmarks.wrk import closed_loop

CALM_SECONDS = 0.5


@dataclass(frozen=True)
class Meter:
    """Measures a running side for ``seconds`` at a time, closed loops after a warm-up.

    ``name`` is what the samples are filed under.  ``is_queueing`` says that the side only
    accepts asynchronous requests, and predicts them later.
    """

    workload: Workload
    name: str
    side: str
    repeat: int
    running: Running
    body: Path
    seconds: float
    warm_up: float
    seed: int
    is_queueing: bool

    def closed(self, connections: int) -> Sample:
        """Measure with so many connections, each of which waits for its answer."""
        if self.warm_up:
            self.load(connections, self.warm_up)
            self.drain()
        before = cpu_seconds(self.running.pids)
        measured = self.load(connections, self.seconds)
        if self.workload.prefer:
            self.drain()  # what was only accepted is to be paid for, too
        cpu_ms = (cpu_seconds(self.running.pids) - before) / max(measured.requests, 1) * 1e3
        self.drain()
        return Sample(self.name, self.side, self.repeat, connections, measured, cpu_ms)

    def open(self, rate: float) -> Sample:
        """Measure with ``rate`` requests a second that wait for nothing."""
        before = cpu_seconds(self.running.pids)
        measured, late = open_loop(
            self.running.url, self.body, rate=rate, seconds=self.seconds,
            seed=self.seed + self.repeat,
        )  # fmt: skip
        cpu_ms = (cpu_seconds(self.running.pids) - before) / measured.requests * 1e3
        return Sample(
            self.name, self.side, self.repeat, 0, measured, cpu_ms, offered=rate, late=late
        )

    def load(self, connections: int, seconds: float) -> Load:
        """Put a closed loop on the side."""
        return closed_loop(
            self.running.url, self.body, connections=connections, seconds=seconds,
            content_type=self.workload.content_type, prefer=self.workload.prefer,
        )  # fmt: skip

    def drain(self) -> None:
        """Wait until the server is done with what the load left behind.

        wrk leaves a request on every connection when its time is up.  Requests are served about
        in their order, so one that is sent last is answered last.
        """
        if self.workload.prefer and self.is_queueing:
            await_prediction(self.running, submit(self.running, self.workload))
        else:
            ask(
                self.running.port, "POST", "/predict", self.workload.body,
                {"Content-Type": self.workload.content_type},
            )  # fmt: skip


def await_calm(running: Running, *, share: float = 0.15, timeout: float = 15.0) -> None:
    """Wait until a side's processes use less than ``share`` of one processor, or the time is up.

    What a start leaves behind, such as other services' imports, would be measured otherwise.
    """
    until = time.monotonic() + timeout
    while time.monotonic() < until:
        pids = running.pids
        used, since = cpu_seconds(pids), time.monotonic()
        time.sleep(CALM_SECONDS)  # the time over which processor use is measured
        if cpu_seconds(running.pids) - used < share * (time.monotonic() - since):
            return
