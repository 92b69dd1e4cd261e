"""The versions take turns, and each load is measured as often as asked for."""

from pathlib import Path

from benchmarks.compare.rounds import BASELINE, CANDIDATE, MOSEC, Comparison, Rounds, order
from benchmarks.compare.scenarios import LABELS, SCENARIOS
from benchmarks.compare.trees import Tree
from benchmarks.records import Results


def rounds(*names: str, count: int = 1, mosec: bool = True) -> Rounds:
    """Return a comparison of trees that need not be there."""
    comparison = Comparison(
        trees={name: Tree(Path(name)) for name in (BASELINE, CANDIDATE)},
        scenarios=tuple(SCENARIOS[name] for name in names),
        labels=frozenset(LABELS),
        rounds=count,
        turns=1,
        seconds=1.0,
        warm_up=1.0,
        cache=Path("cache"),
        seed=1,
        mosec=mosec,
    )
    return Rounds(comparison, Results(), save=lambda: None, say=lambda text: None)


def test_every_other_turn_goes_backwards() -> None:
    sides = (BASELINE, CANDIDATE, MOSEC)
    assert order(sides, 0) == sides
    assert order(sides, 1) == (MOSEC, CANDIDATE, BASELINE)


def test_each_round_has_every_scenario() -> None:
    expected = ["#1 echo", "#1 accept", "#2 echo", "#2 accept"]
    assert [what for what, _ in rounds("echo", "accept", count=2).steps(Path())] == expected


def test_mosec_comes_where_there_are_batches_unless_it_is_left_out() -> None:
    both = (BASELINE, CANDIDATE)
    assert rounds("sleep10").comparison.sides(SCENARIOS["sleep10"]) == (*both, MOSEC)
    assert rounds("echo").comparison.sides(SCENARIOS["echo"]) == both
    assert rounds("sleep10", mosec=False).comparison.sides(SCENARIOS["sleep10"]) == both


def test_the_generator_is_measured_where_there_is_an_open_loop() -> None:
    assert next(rounds("iris").steps(Path()))[0] == "#1 generator"
    assert next(rounds("echo").steps(Path()))[0] == "#1 echo"


def test_a_long_scenario_is_measured_less_often() -> None:
    limit = SCENARIOS["overload"].most_rounds
    assert len(list(rounds("overload", count=limit + 3).steps(Path()))) == limit
