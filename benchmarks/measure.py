"""Run a plan: side after side, over and over, so that what the machine does hits all alike."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from benchmarks import commands
from benchmarks.backlog import measure_backlog
from benchmarks.deployment import Deployment
from benchmarks.environments import RUNTIME, environment
from benchmarks.errors import BenchmarkError
from benchmarks.plan import Plan
from benchmarks.records import Load, Results, Sample
from benchmarks.report import describe
from benchmarks.sides import (
    PEERS,
    SERVERS,
    Job,
    StartSide,
    peer_sides,
    redis_server,
    server_environment,
)
from benchmarks.visit import Visit
from benchmarks.workloads import GATE, REDIS_FLOOR, WORKLOADS, Workload
from benchmarks.wrk import find_wrk

FLOOR_CLIENTS = (1, 64)
FLOOR_TIMEOUT_SECONDS = 120.0


def run_plan(
    plan: Plan, results: Results, save: Callable[[], None], say: Callable[[str], None]
) -> None:
    """Measure everything into ``results``; a side that fails is noted, and the others go on.

    ``save`` is called after each step, ``say`` with what is going on.
    """
    find_wrk()
    with tempfile.TemporaryDirectory(prefix="denzel-bench-") as directory:
        run = _Run(plan, results, say, Path(directory))
        run.prepare()
        for name in plan.workloads:
            for repeat in range(plan.repeats):
                for what, step in run.steps(name, repeat):
                    say(what)
                    try:
                        step()
                    except BenchmarkError as error:
                        say(f"{what} FAILED: {error}")
                        results.failures.append(f"{what}: {error}")
                    save()


@dataclass(frozen=True)
class _Run:
    plan: Plan
    results: Results
    say: Callable[[str], None]
    root: Path

    @property
    def deployment(self) -> Deployment:
        return Deployment(self.root)

    def prepare(self) -> None:
        """Install what the sides need before anything is measured."""
        sides, workloads = self.plan.sides, self.plan.workloads
        if any(side.startswith("denzel") for side in sides) or GATE.name in workloads:
            self.say("denzel: creating the project and installing its packages")
            self.deployment.create()
        needed = [name for name in PEERS if any(side.startswith(name) for side in sides)]
        if {"falcon", "celery"} & set(sides) or REDIS_FLOOR in workloads:
            needed.append(RUNTIME)
        for name in needed:
            self.say(f"{name}: its environment")
            environment(name, self.plan.cache)

    def steps(self, workload: str, repeat: int) -> list[tuple[str, Callable[[], None]]]:
        """Return what to do for one repeat of a workload, each with what to call it.

        Every other time the sides come in the opposite order.
        """
        label = f"{workload} #{repeat + 1}"
        if workload == REDIS_FLOOR:
            return [(label, partial(self._round_trips, repeat))]
        if workload == GATE.name:
            return [(label, partial(self._backlog, repeat))]
        start = self.deployment.start
        starts: dict[str, StartSide] = {
            "denzel-batch": start(batches=True),
            "denzel": start(batches=False),
            "denzel-everysec": start(batches=False, settings={"REDIS_FSYNC": "everysec"}),
            **peer_sides(),
        }
        sides = [side for side in WORKLOADS[workload].sides if side in self.plan.sides]
        return [
            (
                f"{label} {side}",
                partial(self._visit, WORKLOADS[workload], side, starts[side], repeat),
            )
            for side in (reversed(sides) if repeat % 2 else sides)
        ]

    def _visit(self, workload: Workload, side: str, start: StartSide, repeat: int) -> None:
        job = self._job(workload)
        with start(job) as running:
            visit = Visit(self.plan, workload, side, repeat, running, job.body_file, self._seen)
            self.results.starts.append(visit.measure())

    def _backlog(self, repeat: int) -> None:
        job = self._job(GATE)
        with self.deployment.start(batches=False)(job) as running:
            backlog = measure_backlog(
                running, self.deployment.redis, GATE, job.body_file,
                repeat=repeat, size=self.plan.backlog, seconds=self.plan.seconds,
            )  # fmt: skip
        self.results.backlogs.append(backlog)
        self.say(f"    {backlog}")

    def _round_trips(self, repeat: int) -> None:
        job = self._job(GATE)
        python = environment(RUNTIME, self.plan.cache) / "bin" / "python"
        with redis_server(job.root, server_environment(job.root, "")) as socket_path:
            for clients in FLOOR_CLIENTS:
                argv = [str(python), str(SERVERS / "round_trips.py"), str(socket_path)]
                argv += [str(clients), str(self.plan.seconds)]
                printed = commands.run(argv, timeout=FLOOR_TIMEOUT_SECONDS + self.plan.seconds)
                load = Load(**json.loads(printed))
                self._seen(Sample(REDIS_FLOOR, REDIS_FLOOR, repeat, clients, load))

    def _seen(self, sample: Sample) -> None:
        self.results.samples.append(sample)
        self.say(f"    {describe(sample)}")

    def _job(self, workload: Workload) -> Job:
        """Return a job with an empty directory of its own."""
        directory = self.root / "server"
        shutil.rmtree(directory, ignore_errors=True)
        directory.mkdir()
        job = Job(workload, self.plan.batching, directory, self.plan.cache)
        job.body_file.write_bytes(workload.body)
        return job
