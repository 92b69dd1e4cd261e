"""The command line of a comparison of two checkouts."""

from __future__ import annotations

import argparse
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.compare.rounds import BASELINE, CANDIDATE, Comparison, Rounds
from benchmarks.compare.scenarios import LABELS, SCENARIOS
from benchmarks.compare.tables import tables
from benchmarks.compare.trees import Tree
from benchmarks.environments import default_cache
from benchmarks.errors import BenchmarkError
from benchmarks.machine import describe_machine, raise_file_limit
from benchmarks.records import Results
from benchmarks.report import as_text

THIS_TREE = Path(__file__).resolve().parents[2]
DEFAULT_OUT = Path("build") / "benchmarks" / "compare.json"
TERMINATED = 143
INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Compare; return the exit code: 1 when something could not be measured."""
    options = parse(arguments)
    try:
        results = Results.load(options.report) if options.report else compare(options)
    except BenchmarkError as error:
        print(f"Error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"Interrupted; what was measured is in {options.out}", file=sys.stderr)
        return INTERRUPTED
    for name, value in {**results.machine, **results.options}.items():
        print(f"{name}: {value}")
    for table in tables(results):
        print(f"\n{as_text(table)}", end="")
    for failure in results.failures:
        print(f"\nNot measured: {failure}")
    return 1 if results.failures else 0


def compare(options: argparse.Namespace) -> Results:
    """Measure what was chosen; results are saved after each step."""
    trees = {
        BASELINE: Tree(options.baseline.resolve()),
        CANDIDATE: Tree(options.candidate.resolve()),
    }
    for tree in trees.values():
        tree.check()
    comparison = Comparison(
        trees=trees,
        scenarios=tuple(SCENARIOS[name] for name in options.workloads),
        labels=frozenset(options.loads),
        rounds=options.rounds,
        turns=options.turns,
        seconds=options.seconds,
        warm_up=options.warm_up,
        cache=options.cache,
        seed=options.seed,
        mosec=not options.no_mosec,
    )
    raise_file_limit()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(TERMINATED))  # servers are ended on the way
    shown = {name.capitalize(): f"{tree.version()} ({tree.root})" for name, tree in trees.items()}
    shown["Each figure"] = f"{options.rounds} × {options.turns} turns of {options.seconds:g} s"
    results = Results(machine=describe_machine(), options=shown)
    began = time.monotonic()

    def say(text: str) -> None:
        print(f"[{time.monotonic() - began:5.0f} s] {text}", file=sys.stderr, flush=True)

    Rounds(comparison, results, lambda: results.save(options.out), say).run()
    return results


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Return the options; argparse answers --help and mistakes."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.compare",
        description="Measure two checkouts of denzel in one run, taking turns.",
        epilog="Needs wrk on PATH. On a loaded machine take more and shorter rounds, and trust "
        "the ratios and the processor time before the rates.",
    )
    add = parser.add_argument
    add("baseline", type=Path, metavar="BASELINE_TREE", help="a checkout of another commit")
    add("candidate", type=Path, metavar="CANDIDATE_TREE", nargs="?", default=THIS_TREE,
        help="the checkout it is compared with (this one)")  # fmt: skip
    names = tuple(SCENARIOS)
    usual = tuple(name for name, scenario in SCENARIOS.items() if scenario.default)
    add("--workloads", nargs="+", choices=names, default=usual, metavar="NAME",
        help=f"of {', '.join(names)} (all up to overload)")  # fmt: skip
    add("--loads", nargs="+", choices=LABELS, default=LABELS, metavar="LOAD",
        help=f"of {', '.join(LABELS)}: connections, or requests a second")  # fmt: skip
    add("--rounds", type=int, default=3, help="how often both versions are started anew (3)")
    add("--turns", type=int, default=3, help="how often each has its turn in a round (3)")
    add("--seconds", type=float, default=1.0, help="a turn takes, whole ones (1)")
    add("--warm-up", type=float, default=1.0, help="seconds of load before the first turn (1)")
    add("--no-mosec", action="store_true", help="leave out the comparison with Mosec")
    add("--seed", type=int, default=1, help="of the open loop's moments (1)")
    add("--cache", type=Path, default=default_cache(), help="where environments are kept")
    add("--out", type=Path, default=DEFAULT_OUT, help=f"where the figures go ({DEFAULT_OUT})")
    add("--report", type=Path, help="measure nothing; show what this file of figures holds")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
