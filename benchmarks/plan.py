"""What a run measures."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from benchmarks.sides import Batching


@dataclass(frozen=True)
class Plan:
    """Workloads and sides by name, seconds for each measurement, and how often it is made."""

    workloads: tuple[str, ...]
    sides: tuple[str, ...]
    connections: tuple[int, ...]
    seconds: float
    warm_up: float
    repeats: int
    batching: Batching
    backlog: int
    cache: Path
    seed: int = 1
