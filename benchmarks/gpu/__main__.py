"""The command line of the GPU's benchmark, and its tables."""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks import commands
from benchmarks.compare.__main__ import THIS_TREE
from benchmarks.compare.trees import Tree
from benchmarks.environments import default_cache
from benchmarks.errors import BenchmarkError
from benchmarks.gpu.sides import REQUESTS, Side, sides, workloads
from benchmarks.gpu.tables import tables
from benchmarks.machine import describe_machine, raise_file_limit
from benchmarks.meter import Meter, await_calm
from benchmarks.models.__main__ import TERMINATED
from benchmarks.records import Results
from benchmarks.report import as_text, describe
from benchmarks.sides import Batching, Job, Running
from benchmarks.workloads import Workload
from benchmarks.wrk import find_wrk

DEFAULT_OUT = Path("build") / "benchmarks" / "gpu.json"
MOST = 64
"""Requests in a batch, and connections, beside one alone."""
WARM_UP_SECONDS = 1.0


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure; return the exit code: 1 when something could not be measured."""
    options = parse(arguments)
    raise_file_limit()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(TERMINATED))  # servers are ended on the way
    results = Results(machine=describe_machine() | ({} if options.cpu else describe_gpu()))
    began = time.monotonic()

    def say(text: str) -> None:
        print(f"[{time.monotonic() - began:5.0f} s] {text}", file=sys.stderr, flush=True)

    try:
        find_wrk()
        for network in options.networks:
            with tempfile.TemporaryDirectory(prefix="denzel-gpu-") as directory:
                bench = _Bench(options, Path(directory), results, say)
                bench.measure(workloads(network, options.cache, Path(directory)))
    except BenchmarkError as error:
        print(f"Error: {error}", file=sys.stderr)
        return 1
    for table in tables(results):
        print(f"\n{as_text(table)}", end="")
    return 1 if results.failures else 0


@dataclass(frozen=True)
class _Bench:
    options: argparse.Namespace
    directory: Path
    results: Results
    say: Callable[[str], None]

    def measure(self, asked: Sequence[Workload]) -> None:
        """Start every side, and put each load on one after the other, over and over.

        Those that have nothing to do stay up: starting them takes longer than a measurement.
        """
        with ExitStack() as stack:
            running = self._start(asked, stack)
            for number in range(self.options.rounds):
                for workload in asked:
                    turn = list(running.items())
                    for side, server in reversed(turn) if number % 2 else turn:
                        if self._sides[side].takes(workload):
                            self._visit(workload, side, number, server)

    @property
    def _sides(self) -> dict[str, Side]:
        every = sides(self.options.wait)
        return {name: side for name, side in every.items() if name in self.options.sides}

    def _start(self, asked: Sequence[Workload], stack: ExitStack) -> Mapping[str, Running]:
        found = {}
        for number, (name, side) in enumerate(self._sides.items()):
            workload = next((each for each in asked if side.takes(each)), None)
            if workload is None:
                continue
            root = self.directory / str(number)
            root.mkdir()
            batching = Batching(MOST, self.options.wait)
            job = Job(workload, batching, root, self.options.cache)
            try:
                found[name] = stack.enter_context(
                    side.start(Tree(THIS_TREE), job, on_gpu=not self.options.cpu)
                )
                self.say(f"{workload.name} {name}: {found[name].start_seconds:.1f} s to start")
            except BenchmarkError as error:
                self._failed(f"{workload.name} {name}", error)
        await_all_calm(found.values())
        return found

    def _visit(self, workload: Workload, side: str, number: int, server: Running) -> None:
        body = self.directory / "body"
        body.write_bytes(workload.body)
        meter = Meter(
            workload, workload.name, side, number, server, body, self.options.seconds,
            warm_up=WARM_UP_SECONDS, seed=1, is_queueing=False,
        )  # fmt: skip
        for connections in (MOST, 1):  # the first warms up for both
            try:
                warm_up = WARM_UP_SECONDS if connections == MOST else 0.0
                sample = replace(meter, warm_up=warm_up).closed(connections)
            except BenchmarkError as error:
                self._failed(f"{workload.name} #{number + 1} {side}", error)
                return
            self.results.samples.append(sample)
            self.say(f"{workload.name} #{number + 1} {side}: {describe(sample)}")
        self.results.save(self.options.out)

    def _failed(self, what: str, error: BenchmarkError) -> None:
        self.say(f"{what} FAILED: {error}")
        self.results.failures.append(f"{what}: {error}")


def await_all_calm(running: Iterable[Running]) -> None:
    """Wait until what the starts left behind is done."""
    for each in running:
        await_calm(each)


def describe_gpu() -> dict[str, str]:
    """Return the GPU's name, as NVIDIA's driver has it."""
    argv = [
        commands.find_program("nvidia-smi", "it comes with NVIDIA's driver; --cpu does without"),
        "--query-gpu=name,driver_version", "--format=csv,noheader",
    ]  # fmt: skip
    return {"GPU": "; ".join(commands.run(argv, timeout=60).splitlines())}


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Return the options; argparse answers --help and mistakes."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.gpu",
        description="Measure networks on a GPU behind denzel, LitServe and Mosec, with batches.",
    )
    names = list(sides(0.0))
    add = parser.add_argument
    add("--networks", nargs="+", choices=list(REQUESTS), default=list(REQUESTS), metavar="NAME",
        help=f"of {', '.join(REQUESTS)}")  # fmt: skip
    add("--sides", nargs="+", choices=names, default=names, metavar="NAME",
        help=f"of {'; '.join(names)}")  # fmt: skip
    add("--rounds", type=int, default=3, help="how often each side is measured (3)")
    add("--seconds", type=float, default=3.0, help="each load lasts, whole ones (3)")
    add("--wait", type=float, default=0.005, help="seconds for which the others' batches fill")
    add("--cpu", action="store_true", help="without a GPU, to try the benchmark itself")
    add("--cache", type=Path, default=default_cache(), help="where environments are kept")
    add("--out", type=Path, default=DEFAULT_OUT, help=f"where the figures go ({DEFAULT_OUT})")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
