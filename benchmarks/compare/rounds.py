"""Measure scenario after scenario, round after round, the two versions taking turns."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from benchmarks.compare.overload import measure_crowd, measure_excess
from benchmarks.compare.scenarios import Closed, Crowd, Excess, Open, Scenario
from benchmarks.compare.trees import Tree
from benchmarks.environments import environment
from benchmarks.errors import BenchmarkError
from benchmarks.meter import Meter, await_calm
from benchmarks.records import Overload, Results, Sample
from benchmarks.report import describe
from benchmarks.sides import Batching, Job, Running, nothing, peer
from benchmarks.workloads import WORKLOADS, Workload
from benchmarks.wrk import find_wrk

BASELINE, CANDIDATE, MOSEC, NOTHING = "baseline", "candidate", "mosec", "nothing"
NO_BATCHES = Batching(1, 0.0)


@dataclass(frozen=True)
class Comparison:
    """What is measured: each figure for ``seconds``, after ``warm_up`` seconds of load.

    ``labels`` are the loads wanted of each scenario.
    """

    trees: dict[str, Tree]
    scenarios: tuple[Scenario, ...]
    labels: frozenset[str]
    rounds: int
    seconds: float
    warm_up: float
    cache: Path
    seed: int
    mosec: bool


@dataclass(frozen=True)
class Rounds:
    """Runs a comparison into ``results``; ``save`` is called after each step, ``say`` often."""

    comparison: Comparison
    results: Results
    save: Callable[[], None]
    say: Callable[[str], None]

    def run(self) -> None:
        """Measure everything; a step that fails is noted, and the others go on."""
        find_wrk()
        self._install()
        with tempfile.TemporaryDirectory(prefix="denzel-compare-") as directory:
            for what, step in self.steps(Path(directory)):
                self.say(what)
                try:
                    step()
                except BenchmarkError as error:
                    self.say(f"{what} FAILED: {error}")
                    self.results.failures.append(f"{what}: {error}")
                self.save()

    def _install(self) -> None:
        wanted = self.comparison
        for name, tree in wanted.trees.items():
            self.say(f"{name}: {tree.root} at {tree.version()}; its environment")
            tree.environment(wanted.cache)
        if wanted.mosec and any(each.mosec for each in wanted.scenarios):
            environment(MOSEC, wanted.cache)

    def steps(self, directory: Path) -> Iterator[tuple[str, Callable[[], None]]]:
        """Yield what to do, each with what to call it.

        Which version goes first changes from one scenario to the next, and from round to round.
        """
        wanted = self.comparison
        for number in range(wanted.rounds):
            if rates := self._rates():
                yield f"generator #{number + 1}", partial(self._generator, rates, number, directory)
            for index, scenario in enumerate(wanted.scenarios):
                if number >= scenario.most_rounds:
                    continue
                for side in order(number + index):
                    label = f"{scenario.name} #{number + 1} {side}"
                    yield label, partial(self._version, scenario, side, number, directory)
                if scenario.mosec and wanted.mosec:
                    label = f"{scenario.name} #{number + 1} {MOSEC}"
                    yield label, partial(self._mosec, scenario, number, directory)

    def _version(self, scenario: Scenario, side: str, number: int, directory: Path) -> None:
        job = self._job(scenario.workload, NO_BATCHES, directory)
        start = self.comparison.trees[side].started(
            job, batches=scenario.batches, settings=scenario.settings
        )
        self._measure(scenario, side, number, job, start)

    def _mosec(self, scenario: Scenario, number: int, directory: Path) -> None:
        assert scenario.mosec is not None
        job = self._job(scenario.workload, scenario.mosec, directory)
        self._measure(scenario, MOSEC, number, job, peer(MOSEC, batches=True)(job))

    def _measure(
        self,
        scenario: Scenario,
        side: str,
        number: int,
        job: Job,
        start: AbstractContextManager[Running],
    ) -> None:
        with start as running:
            await_calm(running)
            meter = self._meter(scenario.workload, scenario.name, side, number, running, job)
            for load in scenario.loads:
                if load.label not in self.comparison.labels:
                    continue
                match load:
                    case Closed():
                        self._seen(meter.closed(load.connections))
                    case Open():
                        self._seen(meter.open(load.rate))
                    case Excess():
                        self._overloaded(measure_excess(meter, load))
                    case Crowd():
                        self._overloaded(measure_crowd(meter, load))

    def _generator(self, rates: list[int], number: int, directory: Path) -> None:
        """Measure the open loop's generator itself, on a server that does nothing."""
        workload = WORKLOADS["iris"]
        job = self._job(workload, NO_BATCHES, directory)
        with nothing()(job) as running:
            meter = self._meter(workload, NOTHING, NOTHING, number, running, job)
            for rate in rates:
                self._seen(meter.open(rate))

    def _rates(self) -> list[int]:
        """Return the open loops' rates that are measured somewhere."""
        loads = [load for scenario in self.comparison.scenarios for load in scenario.loads]
        wanted = [each for each in loads if each.label in self.comparison.labels]
        return sorted({load.rate for load in wanted if isinstance(load, Open)})

    def _meter(
        self, workload: Workload, name: str, side: str, number: int, running: Running, job: Job
    ) -> Meter:
        wanted = self.comparison
        return Meter(
            workload, name, side, number, running, job.body_file, wanted.seconds, wanted.warm_up,
            wanted.seed, is_queueing=side in wanted.trees,
        )  # fmt: skip

    def _job(self, workload: Workload, batching: Batching, directory: Path) -> Job:
        """Return a job with an empty directory of its own."""
        root = directory / "server"
        shutil.rmtree(root, ignore_errors=True)
        root.mkdir()
        job = Job(workload, batching, root, self.comparison.cache)
        job.body_file.write_bytes(workload.body)
        return job

    def _seen(self, sample: Sample) -> None:
        self.results.samples.append(sample)
        self.say(f"    {describe(sample)}")

    def _overloaded(self, overload: Overload) -> None:
        self.results.overloads.append(overload)
        self.say(
            f"    {overload.in_time:.0f} of {overload.capacity:.0f}/s in time; a client "
            f"afterwards waits {overload.wait_after:.2f} s"
        )


def order(turn: int) -> tuple[str, str]:
    """Return which version comes first in a turn."""
    return (CANDIDATE, BASELINE) if turn % 2 else (BASELINE, CANDIDATE)
