"""The command line: measure costs, compare what they promise with what is answered, plan."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.capacity.measure import Point, measure
from benchmarks.capacity.model import Costs, Deployment, Model, limits, narrowest
from benchmarks.compare.trees import Tree
from benchmarks.environments import default_cache
from benchmarks.meter import Meter, await_calm
from benchmarks.sides import Batching, Job
from benchmarks.workloads import WORKLOADS

THIS_TREE = Path(__file__).resolve().parents[2]
DEFAULT_OUT = Path("build") / "benchmarks" / "capacity.json"
GENERATOR = 10.0
"""Microseconds that wrk pays for a request and its answer."""
OVERHEAD = 0.002
"""Seconds between two calls of a busy process, measured with batches of 28 requests."""
PLANNED = (
    Deployment(1, 1, 2), Deployment(2, 2, 4), Deployment(8, 8, 8), Deployment(32, 32, 8),
)  # fmt: skip
EXAMPLES = {
    "10 ms a request": Model(0.010),
    "10 ms for a batch of 32": Model(0.010, 32),
    "200 ms a request": Model(0.200),
}


@dataclass(frozen=True)
class Case:
    """A deployment on this machine whose rate is both measured and calculated."""

    name: str
    workload: str
    batches: bool
    processes: int
    model: Model
    settings: dict[str, str]


CASES = (
    Case("a model that does nothing", "echo", False, 2, Model(0.00005, 27), {}),
    Case("the same, accepted asynchronously", "accept", False, 2, Model(0.00005, 27), {}),
    Case(
        "10 ms a request, two processes", "sleep10", False, 2, Model(0.010),
        {"WORKER_CONCURRENCY": "2"},
    ),
    Case(
        "10 ms for a batch of 32, one process", "sleep10", True, 1, Model(0.010, 32),
        {"BATCH_MAX_SIZE": "32", "BATCH_MAX_WAIT": "0.005"},
    ),
)  # fmt: skip


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, or read what was; print what the model makes of it."""
    options = _parse(arguments)
    points = _load(options.report) if options.report else _measure_all(options)
    _print_points(points)
    _print_plan(points["a model that does nothing"].costs)
    return 0


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.capacity", description=__doc__)
    parser.add_argument("--seconds", type=float, default=4.0, help="each case is measured (4)")
    parser.add_argument("--out", type=Path, default=DEFAULT_OUT, help=f"({DEFAULT_OUT})")
    parser.add_argument("--report", type=Path, help="measure nothing; read this file of figures")
    return parser.parse_args(arguments)


def _load(path: Path) -> dict[str, Point]:
    stored = json.loads(path.read_text(encoding="utf-8"))
    return {name: Point(each["rate"], Costs(**each["costs"])) for name, each in stored.items()}


def _measure_all(options: argparse.Namespace) -> dict[str, Point]:
    points = {}
    with tempfile.TemporaryDirectory(prefix="denzel-capacity-") as directory:
        for case in CASES:
            points[case.name] = _measure(case, Path(directory) / case.workload, options.seconds)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    stored = {name: asdict(point) for name, point in points.items()}
    options.out.write_text(json.dumps(stored, indent=1) + "\n", encoding="utf-8")
    return points


def _measure(case: Case, root: Path, seconds: float) -> Point:
    workload = WORKLOADS[case.workload]
    shutil.rmtree(root, ignore_errors=True)
    root.mkdir()
    job = Job(workload, Batching(1, 0.0), root, default_cache())
    job.body_file.write_bytes(workload.body)
    tree = Tree(THIS_TREE)
    with tree.started(job, batches=case.batches, settings=case.settings) as running:
        await_calm(running)
        meter = Meter(
            workload, case.name, "capacity", 0, running, job.body_file, seconds, 1.0, 1, True
        )
        return measure(meter, 64)


def _print_points(points: dict[str, Point]) -> None:
    print("Microseconds of processor time for each request")
    for name, point in points.items():
        costs = ", ".join(f"{part} {each:.0f}" for part, each in asdict(point.costs).items())
        print(f"  {name}: {costs}")
    print("\nWhat is calculated, and what was measured, with 64 connections")
    for case in CASES:
        point = points[case.name]
        here = Deployment(1, 1, case.processes, len(os.sched_getaffinity(0)))
        part, rate = narrowest(
            limits(here, point.costs, case.model, overhead=OVERHEAD, generator=GENERATOR)
        )
        print(
            f"  {case.name}: {rate:,.0f}/s ({part}); measured {point.rate:,.0f}/s, "
            f"{point.rate / rate:.2f} of it"
        )


def _print_plan(costs: Costs) -> None:
    print("\nRequests a second by deployment, and what limits them")
    for title, model in EXAMPLES.items():
        for planned in PLANNED:
            part, rate = narrowest(limits(planned, costs, model, overhead=OVERHEAD))
            print(
                f"  {title}: {planned.api_processors:g} API processors, {planned.workers} workers "
                f"of {planned.processes} processes: {rate:,.0f}/s ({part})"
            )


if __name__ == "__main__":
    raise SystemExit(main())
