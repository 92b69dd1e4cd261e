"""The defaults are compared with each other side, round by round."""

from benchmarks.models.sides import DEFAULTS, grid, sides
from benchmarks.models.tables import best_by_hand, model_table
from benchmarks.records import Load, Results, Sample


def sample(side: str, repeat: int, rps: int) -> Sample:
    load = Load(requests=rps, seconds=1.0, p50=1.0, p90=2.0, p99=3.0, max=4.0)
    return Sample("lightgbm", side, repeat, 32, load, cpu_ms=0.5)


def test_the_best_by_hand_has_the_highest_median() -> None:
    rates = {
        DEFAULTS: {0: 900.0},
        "denzel 1×1": {0: 100.0, 1: 100.0, 2: 800.0},
        "denzel 2×1": {0: 200.0, 1: 200.0, 2: 200.0},
        "mosec": {0: 500.0},
    }
    assert best_by_hand(rates) == "denzel 2×1"
    assert best_by_hand({DEFAULTS: {0: 1.0}}) is None


def test_ratios_are_those_of_the_same_round() -> None:
    samples = [
        sample(DEFAULTS, 0, 100), sample("denzel 2×1", 0, 200), sample("mosec", 0, 50),
        sample(DEFAULTS, 1, 300), sample("denzel 2×1", 1, 100),
    ]  # fmt: skip
    rows = model_table(Results(samples=samples), "lightgbm").rows
    assert [(row[0], row[-1]) for row in rows] == [
        (DEFAULTS, "–"),
        ("denzel 2×1 (best by hand)", "1.75 (0.50–3.00)"),
        ("mosec", "2.00"),
    ]


def test_the_grid_sets_processes_and_threads() -> None:
    settings = grid()["denzel 1×1"]
    assert settings["WORKER_CONCURRENCY"] == settings["OMP_NUM_THREADS"] == "1"
    assert set(grid()) < set(sides())
