"""What came of the models: each side's figures, and denzel's defaults beside the best."""

from __future__ import annotations

import statistics
from collections.abc import Iterable

from benchmarks.models.sides import DEFAULTS
from benchmarks.records import Results, Sample
from benchmarks.report import ABSENT, Table
from benchmarks.summary import ByRepeat, Spread, divided

HEAD = ("Side", "Answers/s", "p50 ms", "p99 ms", "CPU ms each", "Denzel's defaults ÷ this")


def tables(results: Results) -> list[Table]:
    """Return one table for each model."""
    return [
        model_table(results, name) for name in dict.fromkeys(s.workload for s in results.samples)
    ]


def model_table(results: Results, name: str) -> Table:
    """Return a model's sides; the best of denzel's by hand is marked."""
    samples = [each for each in results.samples if each.workload == name]
    rates = {side: _rates(samples, side) for side in dict.fromkeys(s.side for s in samples)}
    best = best_by_hand(rates)
    rows = []
    for side, rate in rates.items():
        of_side = [each for each in samples if each.side == side]
        ratio = {} if side == DEFAULTS else divided(rates.get(DEFAULTS, {}), rate)
        rows.append(
            [
                f"{side} (best by hand)" if side == best else side,
                _text(rate.values(), ",.0f"),
                _text((each.load.p50 for each in of_side), ".2f"),
                _text((each.load.p99 for each in of_side), ".2f"),
                _text((each.cpu_ms or 0.0 for each in of_side), ".2f"),
                _text(ratio.values(), ".2f"),
            ]
        )
    return Table(name, HEAD, rows)


def best_by_hand(rates: dict[str, ByRepeat]) -> str | None:
    """Return the processes × threads with the highest median rate; None when none was measured."""
    by_hand = {
        side: statistics.median(rate.values())
        for side, rate in rates.items()
        if side.startswith(f"{DEFAULTS} ") and rate
    }
    return max(by_hand, key=lambda side: by_hand[side], default=None)


def _rates(samples: list[Sample], side: str) -> ByRepeat:
    return {each.repeat: each.load.rps for each in samples if each.side == side}


def _text(values: Iterable[float], form: str) -> str:
    spread = Spread.of(values)
    return spread.text(form) if spread else ABSENT
