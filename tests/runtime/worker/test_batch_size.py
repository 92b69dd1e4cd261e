"""How many requests a process is given at once."""

from __future__ import annotations

import pytest

from app.runtime.worker.batch_size import MOST_UNBATCHED, UNBATCHED_SECONDS, BatchSize

BATCH_MAX_SIZE, BATCH_MAX_WAIT = 200, 0.5


@pytest.fixture
def size() -> BatchSize:
    return BatchSize(BATCH_MAX_SIZE, BATCH_MAX_WAIT, has_predict_batch=False)


def observe(size: BatchSize, each: float, *, batching: bool, times: int = 1) -> None:
    for _ in range(times):
        size.observe(4, 4 * each, has_predict_batch=batching)


def test_before_anything_was_measured_a_process_gets_one_at_once(size: BatchSize) -> None:
    assert (size.most, size.wait, size.seconds) == (1, 0.0, 0.0)


def test_with_predict_batch_the_settings_say_how_many_and_how_long(size: BatchSize) -> None:
    observe(size, 3.0, batching=True)
    assert (size.most, size.wait) == (BATCH_MAX_SIZE, BATCH_MAX_WAIT)


@pytest.mark.parametrize(
    ("each", "most"),
    [(1e-9, MOST_UNBATCHED), (0.001, int(UNBATCHED_SECONDS / 0.001)), (0.1, 1), (60.0, 1)],
)
def test_without_it_they_take_some_milliseconds_together(
    size: BatchSize, each: float, most: int
) -> None:
    observe(size, each, batching=False)
    assert (size.most, size.wait) == (most, 0.0)


def test_it_follows_the_predictions_and_one_odd_one_counts_little(size: BatchSize) -> None:
    observe(size, 0.0005, batching=False, times=50)
    quick = size.most
    observe(size, 0.005, batching=False)
    assert 1 < size.most < quick
    observe(size, 0.02, batching=False, times=50)
    assert size.most == 1
    observe(size, 0.0005, batching=False, times=50)
    assert size.most >= quick - 1


def test_it_tells_how_long_a_batch_takes(size: BatchSize) -> None:
    observe(size, 0.5, batching=True, times=50)
    assert size.seconds == pytest.approx(2.0, rel=0.01)
