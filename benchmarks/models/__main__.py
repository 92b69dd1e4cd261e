"""The command line of the models' benchmark, and its tables."""

from __future__ import annotations

import argparse
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks.compare.__main__ import THIS_TREE
from benchmarks.compare.trees import Tree
from benchmarks.environments import default_cache, environment
from benchmarks.errors import BenchmarkError
from benchmarks.machine import describe_machine, raise_file_limit
from benchmarks.meter import Meter, await_calm
from benchmarks.models.sides import DEFAULTS, MODELS, PEERS, grid, sides, start
from benchmarks.models.tables import tables
from benchmarks.records import Results
from benchmarks.report import as_text, describe
from benchmarks.sides import Batching, Job
from benchmarks.workloads import Workload
from benchmarks.wrk import find_wrk

DEFAULT_OUT = Path("build") / "benchmarks" / "models.json"
TERMINATED = 143
BATCHING = Batching(64, 0.005)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure; return the exit code: 1 when something could not be measured."""
    options = parse(arguments)
    raise_file_limit()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(TERMINATED))  # servers are ended on the way
    tree = Tree(options.tree.resolve())
    shown = {"Version": tree.version(), "Clients": str(options.clients)}
    results = Results(machine=describe_machine(), options=shown)
    began = time.monotonic()

    def say(text: str) -> None:
        print(f"[{time.monotonic() - began:5.0f} s] {text}", file=sys.stderr, flush=True)

    try:
        find_wrk()
        tree.check()
        with tempfile.TemporaryDirectory(prefix="denzel-models-") as directory:
            for workload, side, number in steps(options):
                label = f"{workload.name} #{number + 1} {side}"
                say(label)
                try:
                    measure(options, tree, workload, side, number, Path(directory), results)
                    say(f"    {describe(results.samples[-1])}")
                except BenchmarkError as error:
                    say(f"{label} FAILED: {error}")
                    results.failures.append(f"{label}: {error}")
                results.save(options.out)
    except BenchmarkError as error:
        print(f"Error: {error}", file=sys.stderr)
        return 1
    for table in tables(results):
        print(f"\n{as_text(table)}", end="")
    return 1 if results.failures else 0


def steps(options: argparse.Namespace) -> Iterator[tuple[Workload, str, int]]:
    """Yield workload, side and round; every other round goes backwards."""
    for name in options.models:
        model = MODELS[name]
        for peer in PEERS:
            environment(peer, options.cache, model.requirements)
        workload = model.trained(options.cache)
        for number in range(options.rounds):
            wanted = [side for side in sides() if side in options.sides]
            for side in reversed(wanted) if number % 2 else wanted:
                yield workload, side, number


def measure(
    options: argparse.Namespace,
    tree: Tree,
    workload: Workload,
    side: str,
    number: int,
    directory: Path,
    results: Results,
) -> None:
    """Start one side, load it, note what came of it."""
    root = directory / "server"
    shutil.rmtree(root, ignore_errors=True)
    root.mkdir()
    job = Job(workload, BATCHING, root, options.cache)
    job.body_file.write_bytes(workload.body)
    with start(side, tree, job) as running:
        await_calm(running)
        meter = Meter(
            workload, workload.name, side, number, running, job.body_file, options.seconds,
            warm_up=2.0, seed=1, is_queueing=False,
        )  # fmt: skip
        results.samples.append(meter.closed(options.clients))


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Return the options; argparse answers --help and mistakes."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.models",
        description="Measure denzel's defaults with real models beside every number of processes "
        "and threads, LitServe and Mosec.",
    )
    add = parser.add_argument
    add("tree", type=Path, nargs="?", default=THIS_TREE, help="a checkout of denzel (this one)")
    add("--models", nargs="+", choices=list(MODELS), default=list(MODELS), metavar="NAME",
        help=f"of {', '.join(MODELS)}")  # fmt: skip
    add(
        "--sides",
        nargs="+",
        choices=sides(),
        default=sides(),
        metavar="NAME",
        help=f"of {', '.join(sides())}; {DEFAULTS} P×T: processes × threads of {len(grid())}",
    )
    add("--clients", type=int, default=32, help="connections (32)")
    add("--rounds", type=int, default=3, help="how often each side is measured (3)")
    add("--seconds", type=float, default=4.0, help="each side is measured for, whole ones (4)")
    add("--cache", type=Path, default=default_cache(), help="where environments are kept")
    add("--out", type=Path, default=DEFAULT_OUT, help=f"where the figures go ({DEFAULT_OUT})")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
