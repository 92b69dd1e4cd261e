"""Measure scenario after scenario, round after round, the two versions taking turns."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from benchmarks.compare.overload import measure_crowd, measure_excess
from benchmarks.compare.scenarios import Closed, Crowd, Excess, Kind, Open, Scenario
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
    """What is measured: each figure for ``seconds``, ``turns`` times in each of the rounds.

    A round has new deployments; the first turn of a closed loop comes after ``warm_up`` seconds
    of load.  ``labels`` are the loads wanted of each scenario.
    """

    trees: dict[str, Tree]
    scenarios: tuple[Scenario, ...]
    labels: frozenset[str]
    rounds: int
    turns: int
    seconds: float
    warm_up: float
    cache: Path
    seed: int
    mosec: bool

    def sides(self, scenario: Scenario) -> tuple[str, ...]:
        """Return the sides a scenario has."""
        with_mosec = self.mosec and scenario.mosec is not None
        return (BASELINE, CANDIDATE, MOSEC) if with_mosec else (BASELINE, CANDIDATE)


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
        """Yield what to do, each with what to call it."""
        for number in range(self.comparison.rounds):
            if rates := self._rates():
                yield (
                    f"#{number + 1} generator",
                    partial(self._generator, rates, number, directory),
                )
            for scenario in self.comparison.scenarios:
                if number < scenario.most_rounds:
                    yield (
                        f"#{number + 1} {scenario.name}",
                        partial(self._scenario, scenario, number, directory),
                    )

    def _scenario(self, scenario: Scenario, number: int, directory: Path) -> None:
        """Start every side; let them take turns under each load while the others are idle.

        So neighbours are seconds apart, and what else the machine does hits them alike.
        """
        with ExitStack() as stack:
            meters = {}
            for side in order(self.comparison.sides(scenario), number):
                self.say(f"    {side} starts")
                meters[side] = stack.enter_context(self._started(scenario, side, directory))
            for load in scenario.loads:
                if load.label in self.comparison.labels:
                    self._take_turns(load, meters, number)

    def _take_turns(self, load: Kind, meters: dict[str, Meter], number: int) -> None:
        turns = 1 if isinstance(load, Excess | Crowd) else self.comparison.turns
        for turn in range(turns):
            repeat = number * turns + turn
            for side in order(tuple(meters), turn):
                warm_up = 0.0 if turn else self.comparison.warm_up
                self._put(load, replace(meters[side], repeat=repeat, warm_up=warm_up))

    def _put(self, load: Kind, meter: Meter) -> None:
        match load:
            case Closed():
                self._seen(meter.closed(load.connections))
            case Open():
                self._seen(meter.open(load.rate))
            case Excess():
                self._overloaded(measure_excess(meter, load))
            case Crowd():
                self._overloaded(measure_crowd(meter, load))

    @contextmanager
    def _started(self, scenario: Scenario, side: str, directory: Path) -> Iterator[Meter]:
        workload = scenario.workload
        job = self._job(workload, scenario.mosec or NO_BATCHES, directory / side)
        if side == MOSEC:
            start = peer(MOSEC, batches=True)(job)
        else:
            start = self.comparison.trees[side].started(
                job, batches=scenario.batches, settings=scenario.settings
            )
        with start as running:
            await_calm(running)
            yield self._meter(workload, scenario.name, side, 0, running, job)

    def _generator(self, rates: list[int], number: int, directory: Path) -> None:
        """Measure the open loop's generator itself, on a server that does nothing."""
        workload = WORKLOADS["iris"]
        job = self._job(workload, NO_BATCHES, directory / NOTHING)
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

    def _job(self, workload: Workload, batching: Batching, root: Path) -> Job:
        """Return a job with an empty directory of its own."""
        shutil.rmtree(root, ignore_errors=True)
        root.mkdir()
        job = Job(workload, batching, root, self.comparison.cache)
        job.body_file.write_bytes(workload.body)
        return job

    def _seen(self, sample: Sample) -> None:
        self.results.samples.append(sample)
        self.say(f"    {sample.side}: {describe(sample)}")

    def _overloaded(self, overload: Overload) -> None:
        self.results.overloads.append(overload)
        self.say(
            f"    {overload.side}: {overload.in_time:.0f} of {overload.capacity:.0f}/s in time; "
            f"a client afterwards waits {overload.wait_after:.2f} s"
        )


def order(sides: tuple[str, ...], turn: int) -> tuple[str, ...]:
    """Return the sides as they come in a turn: every other time backwards."""
    return sides[::-1] if turn % 2 else sides
