"""The command line of the benchmarks: choose, measure, write the tables and plots."""

from __future__ import annotations

import argparse
import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from benchmarks.environments import default_cache
from benchmarks.errors import BenchmarkError
from benchmarks.machine import describe_machine, raise_file_limit
from benchmarks.measure import run_plan
from benchmarks.plan import Plan
from benchmarks.plots import plot_workload
from benchmarks.records import Results
from benchmarks.report import as_text, documentation, tables
from benchmarks.sides import TITLES, Batching
from benchmarks.workloads import NAMES, WORKLOADS

DEFAULT_OUT = Path("build") / "benchmarks"
RESULTS_FILE = "performance.json"
REPORT_FILE = "performance_results.inc"
TERMINATED = 143
INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmarks; return the exit code: 1 when something could not be measured."""
    options = parse(arguments)
    try:
        results = Results.load(options.report) if options.report else measure(options)
    except BenchmarkError as error:
        print(f"Error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"Interrupted; what was measured is in {options.out}", file=sys.stderr)
        return INTERRUPTED
    write(results, options.out)
    if options.docs:
        write(results, options.docs, plots=options.docs / "_static")
    for table in tables(results):
        print(as_text(table))
    return 1 if results.failures else 0


def measure(options: argparse.Namespace) -> Results:
    """Measure what was chosen; results are saved after each step."""
    plan = make_plan(options)
    raise_file_limit()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(TERMINATED))  # servers are ended on the way
    results = Results(machine=describe_machine(), options=shown(plan))
    file = options.out / RESULTS_FILE
    began = time.monotonic()

    def say(text: str) -> None:
        print(f"[{time.monotonic() - began:5.0f} s] {text}", file=sys.stderr, flush=True)

    run_plan(plan, results, lambda: results.save(file), say)
    return results


def make_plan(options: argparse.Namespace) -> Plan:
    """Return what the options ask for, over the full or the quick plan."""
    plan = Plan(
        workloads=NAMES,
        sides=tuple(TITLES),
        connections=(1, 64, 1000),
        seconds=6.0,
        warm_up=2.0,
        repeats=3,
        batching=Batching(options.batch_size, options.batch_wait_ms / 1000),
        backlog=100_000,
        cache=options.cache,
        seed=options.seed,
    )
    if options.quick:
        plan = replace(
            plan,
            workloads=("iris", "accept", "backlog"),
            sides=("denzel-batch", "denzel", "fastapi", "falcon"),
            connections=(1, 64),
            seconds=1.0,
            warm_up=1.0,
            repeats=1,
            backlog=2_000,
        )
    names = ("workloads", "sides", "connections", "seconds", "warm_up", "repeats", "backlog")
    given = {name: getattr(options, name) for name in names}
    return replace(plan, **{name: value for name, value in given.items() if value is not None})


def shown(plan: Plan) -> dict[str, str]:
    """Return the plan as the report shows it."""
    return {
        "Each figure": f"the median of {plan.repeats} runs of {plan.seconds:g} s, in brackets the "
        "lowest and the highest",
        "Batches": f"of at most {plan.batching.size}; all but denzel wait up to "
        f"{plan.batching.wait * 1e3:g} ms for one to fill",
    }


def write(results: Results, folder: Path, plots: Path | None = None) -> None:
    """Write the tables, and beside them or in ``plots`` the plots and the figures as JSON."""
    plots = plots or folder
    plots.mkdir(parents=True, exist_ok=True)
    results.save(plots / RESULTS_FILE)
    plotted = [workload for workload in WORKLOADS if plot_workload(results, workload, plots)]
    (folder / REPORT_FILE).write_text(documentation(results, plotted), encoding="utf-8")


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Return the options; argparse answers --help and mistakes."""
    sides = tuple(TITLES)
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Measure denzel beside other model servers, in one run on this machine.",
        epilog="Needs wrk on PATH. A full run takes about an hour; nothing else should run.",
    )
    add = parser.add_argument
    add("--quick", action="store_true", help="a smoke test: few sides, once, a second each")
    add("--workloads", nargs="+", choices=NAMES, help=f"of {', '.join(NAMES)}", metavar="NAME")
    add("--sides", nargs="+", choices=sides, help=f"of {', '.join(sides)}", metavar="NAME")
    add("--connections", nargs="+", type=int, help="of a closed loop (1 64 1000)", metavar="N")
    add("--seconds", type=float, help="each figure is measured for (6)")
    add("--warm-up", type=float, help="seconds of load before that (2)")
    add("--repeats", type=int, help="how often each figure is measured (3)")
    add("--backlog", type=int, help="requests in the long queue (100000)")
    add("--batch-size", type=int, default=64, help="largest batch, on every side (64)")
    add("--batch-wait-ms", type=float, default=5.0, help="how long others' batches wait (5)")
    add("--seed", type=int, default=1, help="of the open loop's moments (1)")
    add("--cache", type=Path, default=default_cache(), help="where environments are kept")
    add("--out", type=Path, default=DEFAULT_OUT, help=f"where results go ({DEFAULT_OUT})")
    add("--docs", type=Path, help="also write the documentation's tables and plots, in this folder")
    add("--report", type=Path, help="measure nothing; write what this results file holds")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
