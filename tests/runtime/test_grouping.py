"""How many requests travel together: sizes and limits from measurements."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import pytest
from app.runtime.api.grouping import (
    CROWD,
    GROUP_SECONDS,
    LONGEST_PAUSE,
    MAX_GROUP_SIZE,
    SLOW_AHEAD,
    TASK_SECONDS,
    WORTHWHILE_SECONDS,
    GroupPolicy,
)


def policy(*, batching: bool = False, slots: int = 2, wait: float = 0.0) -> GroupPolicy:
    return GroupPolicy(batching=batching, batch_max_size=32, batch_max_wait=wait, slots=slots)


def test_before_anything_is_measured_requests_go_alone() -> None:
    assert policy().size == 1


@pytest.mark.parametrize(
    ("seconds_each", "size"),
    [(1e-9, MAX_GROUP_SIZE), (GROUP_SECONDS / 10, 10), (GROUP_SECONDS * 2, 1)],
)
def test_a_group_without_predict_batch_takes_a_few_milliseconds(
    seconds_each: float, size: int
) -> None:
    sized = policy()
    sized.observe(1, seconds_each)
    assert sized.size == size


def test_a_measurement_of_others_serves_until_there_is_one_of_its_own() -> None:
    sized = policy()
    sized.learn(GROUP_SECONDS / 4)
    assert sized.size == 4
    sized.observe(1, GROUP_SECONDS * 2)
    sized.learn(GROUP_SECONDS / 4)
    assert sized.size < 4


def test_sizes_follow_predictions_that_become_slow() -> None:
    sized = policy()
    sized.observe(10, GROUP_SECONDS / 10)
    for _ in range(50):
        sized.observe(1, 1.0)
    assert sized.size == 1


def test_with_predict_batch_a_group_is_a_batch_however_slow() -> None:
    sized = policy(batching=True)
    sized.observe(32, 60.0)
    assert sized.size == 32


def test_one_group_is_under_way_for_each_process_unless_requests_go_alone() -> None:
    grouped = policy(batching=True, slots=3)
    assert grouped.limit == 3
    alone = policy(slots=3)
    alone.observe(1, 1.0)
    assert alone.limit == 3 * SLOW_AHEAD


def test_nobody_waits_for_company_unless_asked_to() -> None:
    assert policy(batching=True).patience(1, 0.0) == 0
    assert policy(wait=1.0).patience(1, 0.0) == 0, "without predict_batch there is no batch"


def test_waiting_for_company_ends_with_time_or_a_full_batch() -> None:
    patient = policy(batching=True, wait=1.0)
    assert patient.patience(1, 0.25) == 0.75
    assert patient.patience(1, 2.0) == 0
    assert patient.patience(32, 0.0) == 0


QUICK = TASK_SECONDS / 100


def measured(seconds_each: float) -> GroupPolicy:
    known = policy(batching=True)
    known.observe(1, seconds_each)
    return known


def test_a_crowd_of_quick_requests_shares_the_next_task() -> None:
    assert measured(QUICK).pause(1, CROWD, 0.0) == LONGEST_PAUSE


def test_few_requests_under_way_keep_nobody_waiting() -> None:
    assert measured(QUICK).pause(1, CROWD - 1, 0.0) == 0


def test_slow_requests_under_way_keep_nobody_waiting() -> None:
    assert measured(TASK_SECONDS / CROWD).pause(1, CROWD, 0.0) == 0


def test_a_full_group_waits_for_no_other() -> None:
    assert measured(QUICK).pause(32, CROWD, 0.0) == 0


def test_a_group_that_is_late_is_waited_for_no_longer() -> None:
    assert measured(QUICK).pause(1, CROWD, LONGEST_PAUSE) == 0


def test_nobody_waits_before_anything_is_measured() -> None:
    assert policy(batching=True).pause(1, CROWD, 0.0) == 0


def batches(seconds: Callable[[int], float], sizes: Iterable[int]) -> GroupPolicy:
    """Return a policy that has seen batches of these sizes, which took that many seconds."""
    known = policy(batching=True)
    for size in sizes:
        known.observe(size, seconds(size))
    return known


SIZES = [1, 3, 17, 32, 9, 32, 2, 30] * 5


def test_what_a_batch_costs_whatever_it_holds_is_told_from_batches_of_all_sizes() -> None:
    assert batches(lambda size: 0.01 + 0.001 * size, SIZES).return_seconds == pytest.approx(0.01)


def test_a_batch_that_costs_only_what_it_holds_waits_for_nobody() -> None:
    assert batches(lambda size: 0.01 * size, SIZES).return_seconds == 0


def test_batches_of_one_size_are_taken_to_cost_the_same_until_another_comes() -> None:
    assert batches(lambda size: 0.01 * size, [2] * 9).return_seconds == pytest.approx(0.02)
    assert batches(lambda size: 0.01 * size, [2] * 9 + [4]).return_seconds == 0


def test_the_cost_of_a_batch_follows_a_machine_that_becomes_slow() -> None:
    known = batches(lambda size: 0.01 + 0.001 * size, SIZES)
    for size in SIZES * 4:
        known.observe(size, 0.05 + 0.001 * size)
    assert known.return_seconds == pytest.approx(0.05, rel=0.1)


def test_a_quick_batch_waits_for_nobody() -> None:
    assert batches(lambda size: 0.9 * WORTHWHILE_SECONDS, SIZES).return_seconds == 0


def test_without_predict_batch_nobody_is_waited_for() -> None:
    alone = policy()
    alone.observe(1, 1.0)
    assert alone.return_seconds == 0
