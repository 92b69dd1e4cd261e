"""What came of a comparison: medians of both versions, and the ratio within each round."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from benchmarks.compare.rounds import BASELINE, CANDIDATE, MOSEC, NOTHING
from benchmarks.compare.scenarios import SCENARIOS
from benchmarks.records import Overload, Results, Sample
from benchmarks.report import ABSENT, Table
from benchmarks.summary import ByRepeat, Spread, divided

HEAD = ("Workload", "Load", "Figure", "Baseline", "Candidate", "Candidate ÷ baseline")
MOSEC_HEAD = ("Workload", "Load", "Mosec answers/s", "Baseline ÷ Mosec", "Candidate ÷ Mosec")
NOTHING_HEAD = ("Requests/s", "p50 ms", "p99 ms", "Late, p99 ms", "CPU ms each")


@dataclass(frozen=True)
class Figure:
    """One property of a sample, how it is called and shown."""

    title: str
    value: Callable[[Sample], float]
    form: str


RPS = Figure("answers/s", lambda sample: sample.load.rps, ",.0f")
P50 = Figure("p50 ms", lambda sample: sample.load.p50, ".2f")
P99 = Figure("p99 ms", lambda sample: sample.load.p99, ".2f")
CPU = Figure("CPU ms each", lambda sample: sample.cpu_ms or 0.0, ".3f")
ERRORS = Figure("errors", lambda sample: sample.load.refused + sample.load.failed, ".0f")
CLOSED_FIGURES = (RPS, P50, P99, CPU, ERRORS)
OPEN_FIGURES = (P50, P99, CPU, ERRORS)

OVERLOAD_FIGURES: tuple[tuple[str, Callable[[Overload], float], str], ...] = (
    ("answers in time ÷ capacity", lambda overload: overload.share, ".2f"),
    ("a client afterwards waits, s", lambda overload: overload.wait_after, ".2f"),
)


def tables(results: Results) -> list[Table]:
    """Return every table there are figures for."""
    made = [version_table(results), mosec_table(results), generator_table(results)]
    return [table for table in made if table.rows]


def version_table(results: Results) -> Table:
    """Return both versions' figures and their ratios.  Errors have no ratio."""
    rows = []
    for name, load in _measured(results):
        if name == NOTHING:
            continue
        for figure in OPEN_FIGURES if load.endswith("/s") else CLOSED_FIGURES:
            baseline, candidate = (
                _by_repeat(results, name, load, side, figure.value)
                for side in (BASELINE, CANDIDATE)
            )
            if figure is ERRORS and not any((*baseline.values(), *candidate.values())):
                continue
            rows.append([name, load, figure.title, *_pair(baseline, candidate, figure.form)])
    rows += [
        [name, load, title, *_pair(*_overloads(results, name, value), form)]
        for name, load in dict.fromkeys((each.workload, each.load) for each in results.overloads)
        for title, value, form in OVERLOAD_FIGURES
    ]
    return Table("Candidate and baseline, medians (lowest–highest)", HEAD, _thinned(rows))


def mosec_table(results: Results) -> Table:
    """Return both versions' answers a second beside Mosec's of the same round."""
    rows = []
    for name, load in _measured(results):
        mosec = _by_repeat(results, name, load, MOSEC, RPS.value)
        if mosec:
            ratios = [
                _text(divided(_by_repeat(results, name, load, side, RPS.value), mosec), ".2f")
                for side in (BASELINE, CANDIDATE)
            ]
            rows.append([name, load, _text(mosec, RPS.form), *ratios])
    return Table("Beside Mosec with the same batches", MOSEC_HEAD, rows)


def generator_table(results: Results) -> Table:
    """Return what the open loop sees of a server that does nothing: its own share of the rest."""
    rows = []
    for _, load in (pair for pair in _measured(results) if pair[0] == NOTHING):
        values = [
            _text(_by_repeat(results, NOTHING, load, NOTHING, value), ".3f")
            for value in (P50.value, P99.value, lambda sample: sample.late or 0.0, CPU.value)
        ]
        rows.append([load, *values])
    return Table("The open loop's generator itself, on a server that does nothing",
                 NOTHING_HEAD, rows)  # fmt: skip


def load_name(sample: Sample) -> str:
    """Return how a sample's load is called, as on the command line."""
    return f"c{sample.connections}" if sample.offered is None else f"{sample.offered:.0f}/s"


def _measured(results: Results) -> list[tuple[str, str]]:
    """Return each scenario and load there are samples of, in the order of the scenarios."""
    found = dict.fromkeys((each.workload, load_name(each)) for each in results.samples)
    names = list(SCENARIOS)
    return sorted(found, key=lambda pair: names.index(pair[0]) if pair[0] in names else -1)


def _by_repeat(
    results: Results, name: str, load: str, side: str, value: Callable[[Sample], float]
) -> ByRepeat:
    return {
        each.repeat: value(each)
        for each in results.samples
        if (each.workload, load_name(each), each.side) == (name, load, side)
    }


def _overloads(
    results: Results, name: str, value: Callable[[Overload], float]
) -> tuple[ByRepeat, ByRepeat]:
    """Return a value of the baseline's and of the candidate's overloads."""
    baseline, candidate = (
        {each.repeat: value(each) for each in results.overloads
         if (each.workload, each.side) == (name, side)}
        for side in (BASELINE, CANDIDATE)
    )  # fmt: skip
    return baseline, candidate


def _pair(baseline: ByRepeat, candidate: ByRepeat, form: str) -> list[str]:
    ratio = _text(divided(candidate, baseline), ".2f")
    return [_text(baseline, form), _text(candidate, form), ratio]


def _text(values: ByRepeat, form: str) -> str:
    spread = Spread.of(values.values())
    return spread.text(form) if spread else ABSENT


def _thinned(rows: Sequence[list[str]]) -> list[list[str]]:
    """Return the rows without the names that stand in the row above already."""
    shown, above = [], ["", ""]
    for row in rows:
        head = ["", ""] if row[:2] == above else row[:2]
        shown.append([*head, *row[2:]])
        above = row[:2]
    return shown
