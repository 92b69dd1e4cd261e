"""Ratios are taken repeat by repeat, and held against their bounds."""

import pytest

from benchmarks.records import Backlog, Load, Results, Sample
from benchmarks.summary import Spread
from benchmarks.targets import TARGETS, quotient, rates


def load(rps: float) -> Load:
    return Load(requests=int(rps * 2), seconds=2.0, p50=1.0, p90=2.0, p99=3.0, max=4.0)


def results(*samples: tuple[str, int, float]) -> Results:
    """Return results of iris at 64 connections from (side, repeat, answers a second)."""
    return Results(
        samples=[Sample("iris", side, repeat, 64, load(rps)) for side, repeat, rps in samples]
    )


def test_a_ratio_is_taken_between_the_same_repeat() -> None:
    found = results(("denzel", 0, 100), ("denzel", 1, 900), ("fastapi", 1, 300), ("fastapi", 0, 50))
    ratio = quotient(rates("iris", "denzel", 64), rates("iris", "fastapi", 64))(found)
    assert ratio == {0: 2.0, 1: 3.0}


def test_a_repeat_that_one_side_lacks_is_left_out() -> None:
    found = results(("denzel", 0, 100), ("denzel", 1, 100), ("fastapi", 1, 50))
    assert quotient(rates("iris", "denzel", 64), rates("iris", "fastapi", 64))(found) == {1: 2.0}


def test_an_open_loop_is_not_taken_for_a_closed_one() -> None:
    found = results(("denzel", 0, 100))
    found.samples.append(Sample("iris", "denzel", 0, 64, load(7), offered=7.0, late=0.0))
    assert rates("iris", "denzel", 64)(found) == {0: 100.0}


def test_refused_requests_are_no_answers() -> None:
    assert Load(requests=100, seconds=1.0, p50=1, p90=1, p99=1, max=1, refused=40).rps == 60


@pytest.mark.parametrize(("denzel", "met"), [(400.0, True), (399.0, False)])
def test_a_bound_is_kept_or_missed(denzel: float, met: bool) -> None:
    target = TARGETS[0]
    assert target.required == 4.0
    spread = target.spread(results(("denzel-batch", 0, denzel), ("fastapi", 0, 100)))
    assert spread is not None
    assert target.is_met(spread) is met


def test_an_upper_bound_is_kept_from_below() -> None:
    (target,) = [each for each in TARGETS if "Redis memory" in each.text]
    backlog = Backlog(0, 100_000, 100, 1224.0, 1.0, 1.0, 1.0, 1.0)
    spread = target.spread(Results(backlogs=[backlog]))
    assert spread == Spread(1.0, 1.0, 1.0, 1)
    assert target.is_met(spread)
    assert not target.is_met(Spread(1.01, 1.01, 1.01, 1))


def test_what_was_not_measured_has_no_ratio() -> None:
    assert all(target.spread(Results()) is None for target in TARGETS)


def test_spread_shows_its_range_when_there_is_one() -> None:
    several, one = Spread.of([3.0, 1.0, 2.0]), Spread.of([2.0])
    assert several is not None and several.text(".1f") == "2.0 (1.0–3.0)"
    assert one is not None and one.text(".1f") == "2.0"
