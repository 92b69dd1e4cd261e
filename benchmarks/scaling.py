"""How throughput grows with the number of workers: ``python -m benchmarks.scaling``.

One deployment with local processes serves a model that keeps one processor busy, in workers of one
process each.  ``denzel scale`` changes their number, in turns, while it runs.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from benchmarks.deployment import Deployment
from benchmarks.environments import default_cache
from benchmarks.errors import BenchmarkError
from benchmarks.meter import await_calm
from benchmarks.sides import Batching, Job, Running
from benchmarks.workloads import HERE, TEXT, Workload
from benchmarks.wrk import closed_loop, find_wrk

BUSY = Workload(
    "busy",
    "a model that keeps one processor busy",
    HERE / "pipelines" / "busy.py",
    {"data": TEXT},
    {"data": TEXT},
    ("denzel",),
)
SETTINGS = {"WORKER_CONCURRENCY": "1", "WORKER_REPLICAS": "1", "API_WORKERS": "1"}
CONNECTIONS = 8
WARM_UP_SECONDS = 2.0


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, and print a line for each number of workers."""
    options = parse(arguments)
    try:
        find_wrk()
        found = measure(options.workers, options.rounds, options.seconds)
    except BenchmarkError as error:
        print(f"Error: {error}", file=sys.stderr)
        return 1
    first = found[options.workers[0]]
    for workers, rates in found.items():
        ratios = [rate / base for rate, base in zip(rates, first, strict=True)]
        print(
            f"{workers} workers: {statistics.median(rates):.1f} requests/s, "
            f"{statistics.median(ratios):.2f} × ({min(ratios):.2f}-{max(ratios):.2f})"
        )
    return 0


def measure(workers: Sequence[int], rounds: int, seconds: float) -> dict[int, list[float]]:
    """Return the requests answered a second by so many workers, once for each round."""
    found: dict[int, list[float]] = {number: [] for number in workers}
    with tempfile.TemporaryDirectory(prefix="denzel-scaling-") as directory:
        root = Path(directory)
        job = Job(BUSY, Batching(1, 0.0), root, default_cache())
        job.body_file.write_bytes(BUSY.body)
        deployment = Deployment(root)
        with deployment.start(batches=False, settings=SETTINGS)(job) as running:
            for turn in range(rounds):
                for number in reversed(workers) if turn % 2 else workers:
                    deployment.scale(number)
                    rate = _rate(running, job.body_file, seconds)
                    print(f"{number} workers: {rate:.1f} requests/s", file=sys.stderr, flush=True)
                    found[number].append(rate)
    return found


def _rate(running: Running, body: Path, seconds: float) -> float:
    """Return how many requests a second are answered; raises BenchmarkError for any that is not."""
    await_calm(running)
    closed_loop(running.url, body, connections=CONNECTIONS, seconds=WARM_UP_SECONDS)
    load = closed_loop(running.url, body, connections=CONNECTIONS, seconds=seconds)
    if load.failed or load.refused:
        raise BenchmarkError(f"{load.failed + load.refused} requests were not answered")
    return load.rps


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Return the options; argparse answers --help and mistakes."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.scaling",
        description="Measure how throughput grows with the number of workers.",
    )
    add = parser.add_argument
    add("--workers", nargs="+", type=int, default=[1, 2], help="how many, in turns (1 2)")
    add("--rounds", type=int, default=5, help="how often each number is measured (5)")
    add("--seconds", type=float, default=5.0, help="each figure is measured for (5)")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
