"""Counting in one process."""

from __future__ import annotations

from app.runtime.metrics.table import PREDICTIONS, QUEUE_SECONDS
from app.runtime.metrics.tally import SUM, TOTAL, Tally


def test_what_was_taken_is_counted_no_more() -> None:
    tally = Tally()
    tally.count(PREDICTIONS, "sync", "SUCCESS")
    tally.count(PREDICTIONS, "sync", "SUCCESS", by=3)
    assert tally.take() == {(PREDICTIONS.name, ("sync", "SUCCESS"), TOTAL): 4}
    assert tally.take() == {}


def test_a_value_on_a_bound_is_in_its_bucket_and_one_above_all_in_the_last() -> None:
    tally = Tally()
    bounds = QUEUE_SECONDS.buckets
    for value in (0.0, bounds[0], bounds[1], bounds[-1] + 1):
        tally.observe(QUEUE_SECONDS, value, "async")
    name, labels = QUEUE_SECONDS.name, ("async",)
    assert tally.take() == {
        (name, labels, "0"): 2,
        (name, labels, "1"): 1,
        (name, labels, str(len(bounds))): 1,
        (name, labels, SUM): bounds[0] + bounds[1] + bounds[-1] + 1,
    }


def test_what_could_not_be_handed_on_is_added_to_what_was_counted_since() -> None:
    tally = Tally()
    tally.observe(QUEUE_SECONDS, 2, "sync")
    tally.count(PREDICTIONS, "sync", "LOST")
    before = tally.take()
    tally.observe(QUEUE_SECONDS, 2, "sync")
    tally.put_back(before)
    tally.put_back(tally.take())
    assert tally.take() == {
        key: value * (2 if key[0] == QUEUE_SECONDS.name else 1) for key, value in before.items()
    }
