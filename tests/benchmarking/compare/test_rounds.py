"""The versions take turns, and each load is measured as often as asked for."""

from pathlib import Path

from benchmarks.compare.rounds import BASELINE, CANDIDATE, Comparison, Rounds, order
from benchmarks.compare.scenarios import LABELS, SCENARIOS
from benchmarks.compare.trees import Tree
from benchmarks.records import Results


def steps(*names: str, rounds: int, mosec: bool = True) -> list[str]:
    """Return what would be done, in its order."""
    comparison = Comparison(
        trees={name: Tree(Path(name)) for name in (BASELINE, CANDIDATE)},
        scenarios=tuple(SCENARIOS[name] for name in names),
        labels=frozenset(LABELS),
        rounds=rounds,
        seconds=1.0,
        warm_up=1.0,
        cache=Path("cache"),
        seed=1,
        mosec=mosec,
    )
    made = Rounds(comparison, Results(), save=lambda: None, say=lambda text: None)
    return [what for what, _ in made.steps(Path("directory"))]


def test_the_versions_take_turns() -> None:
    assert order(0) == (BASELINE, CANDIDATE)
    assert order(1) == (CANDIDATE, BASELINE)
    assert steps("echo", "accept", rounds=2) == [
        "echo #1 baseline", "echo #1 candidate", "accept #1 candidate", "accept #1 baseline",
        "echo #2 candidate", "echo #2 baseline", "accept #2 baseline", "accept #2 candidate",
    ]  # fmt: skip


def test_mosec_comes_in_the_same_round_unless_it_is_left_out() -> None:
    assert steps("sleep10", rounds=1)[-1] == "sleep10 #1 mosec"
    assert "sleep10 #1 mosec" not in steps("sleep10", rounds=1, mosec=False)


def test_the_generator_is_measured_where_there_is_an_open_loop() -> None:
    assert steps("iris", rounds=1)[0] == "generator #1"
    assert "generator #1" not in steps("echo", rounds=1)


def test_a_long_scenario_is_measured_less_often() -> None:
    limit = SCENARIOS["overload"].most_rounds
    assert len(steps("overload", rounds=limit + 3)) == 2 * limit
