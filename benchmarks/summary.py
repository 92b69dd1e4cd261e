"""Several repeats of one figure, summed up."""

from __future__ import annotations

import statistics
from collections.abc import Iterable
from dataclasses import dataclass

ByRepeat = dict[int, float]
"""A figure for each repeat it was measured in."""


@dataclass(frozen=True)
class Spread:
    """A median and the lowest and highest of what it was taken from."""

    median: float
    low: float
    high: float
    count: int

    @classmethod
    def of(cls, values: Iterable[float]) -> Spread | None:
        """Return the spread of ``values``; None for none."""
        found = sorted(values)
        if not found:
            return None
        return cls(statistics.median(found), found[0], found[-1], len(found))

    def text(self, form: str) -> str:
        """Return the median, and the range when there was more than one value."""
        middle = format(self.median, form)
        if self.count == 1:
            return middle
        return f"{middle} ({format(self.low, form)}–{format(self.high, form)})"


def divided(numerators: ByRepeat, denominators: ByRepeat) -> ByRepeat:
    """Return the ratios within each repeat that has both figures, and no zero to divide by."""
    shared = sorted(numerators.keys() & denominators.keys())
    return {each: numerators[each] / denominators[each] for each in shared if denominators[each]}
