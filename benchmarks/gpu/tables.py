"""What came of the networks: each side's figures, and denzel's beside them."""

from __future__ import annotations

from benchmarks.gpu.sides import DENZEL
from benchmarks.records import Results, Sample
from benchmarks.report import ABSENT, Table
from benchmarks.summary import Spread, divided

HEAD = (
    "Side", "Answers/s", "p50 ms", "p99 ms", "CPU ms each", "denzel ÷ this", "p50 ms alone",
)  # fmt: skip


def tables(results: Results) -> list[Table]:
    """Return one table for each workload."""
    names = dict.fromkeys(each.workload for each in results.samples)
    return [workload_table(results, name) for name in names]


def workload_table(results: Results, name: str) -> Table:
    """Return the sides of a workload, under load and asked by one client alone."""
    samples = [each for each in results.samples if each.workload == name]
    rows = []
    for side in dict.fromkeys(each.side for each in samples):
        crowd = _by_round(samples, side, alone=False)
        alone = _by_round(samples, side, alone=True)
        rates = {number: each.load.rps for number, each in crowd.items()}
        denzels = _by_round(samples, DENZEL, alone=False)
        ratio = divided({number: each.load.rps for number, each in denzels.items()}, rates)
        columns = [
            (list(rates.values()), ",.0f"),
            ([each.load.p50 for each in crowd.values()], ".2f"),
            ([each.load.p99 for each in crowd.values()], ".2f"),
            ([each.cpu_ms or 0.0 for each in crowd.values()], ".2f"),
            ([] if side == DENZEL else list(ratio.values()), ".2f"),
            ([each.load.p50 for each in alone.values()], ".2f"),
        ]
        rows.append([side, *(_text(values, form) for values, form in columns)])
    return Table(name, HEAD, rows)


def _by_round(samples: list[Sample], side: str, *, alone: bool) -> dict[int, Sample]:
    """Return a side's samples; ``alone`` for those of one connection."""
    return {
        each.repeat: each
        for each in samples
        if each.side == side and (each.connections == 1) == alone
    }


def _text(values: list[float], form: str) -> str:
    spread = Spread.of(values)
    return spread.text(form) if spread else ABSENT
