"""What Flower is told: of each request while they are few, of batches beyond that."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, cast

import pytest

from app.runtime.worker import events
from app.runtime.worker.batch import Batch, Told
from app.runtime.worker.events import BATCH_SECONDS, EACH_PER_SECOND, EventRate


@dataclass
class Events:
    """Stands for a request; keeps what Celery's event dispatcher would be given."""

    id: str
    deliveries: int = 1
    argsrepr: str = "arguments"
    name: str = "app.tasks.invoke_predict"
    root_id: str = "root"
    eventer: Any = "dispatcher"
    request_dict: dict[str, Any] = field(default_factory=dict)
    sent: list[tuple[str, dict[str, Any]]] = field(default_factory=list)

    def send_event(self, kind: str, **fields: Any) -> None:
        """Keep an event, as Celery sends it."""
        if self.eventer:
            self.sent.append((kind, fields))


def batch(count: int, told: Told) -> tuple[Batch, list[Events]]:
    requests = [Events(str(number)) for number in range(count)]
    return Batch(cast(Any, requests), told), requests


@dataclass
class Clock:
    """A monotonic clock that the test moves."""

    now: float = 1000.0

    def __call__(self) -> float:
        """Return the time."""
        return self.now


def test_each_request_is_told_of_while_they_are_few() -> None:
    clock = Clock()
    rate = EventRate(clock)
    for _ in range(10 * 200):
        clock.now += 1 / 200
        assert rate.choose(1) is Told.EACH


def test_while_they_are_many_some_batches_are() -> None:
    clock = Clock()
    rate = EventRate(clock)
    told = []
    for _ in range(5000):
        clock.now += 0.001
        told.append(rate.choose(5))  # 5,000 requests a second
    assert told[: EACH_PER_SECOND // 5] == [Told.EACH] * (EACH_PER_SECOND // 5)
    later = told[1000:]
    assert set(later) == {Told.BATCH, Told.NOTHING}
    assert later.count(Told.BATCH) == pytest.approx(4 / BATCH_SECONDS, rel=0.1)


def test_a_batch_of_one_is_told_of_as_a_request() -> None:
    clock = Clock()
    rate = EventRate(clock)
    assert rate.choose(EACH_PER_SECOND + 1) is Told.BATCH
    assert rate.choose(1) is Told.NOTHING
    clock.now += 2 * BATCH_SECONDS
    assert rate.choose(1) is Told.EACH


def test_after_them_each_is_told_of_again() -> None:
    clock = Clock()
    rate = EventRate(clock)
    rate.choose(EACH_PER_SECOND + 1)
    clock.now += 1
    assert rate.choose(2) is Told.BATCH  # they were many a moment ago
    clock.now += 1
    assert rate.choose(2) is Told.EACH
    clock.now += 3600
    assert rate.choose(EACH_PER_SECOND) is Told.EACH
    assert rate.choose(2) is Told.BATCH


def test_each_request_of_a_told_batch_has_its_events() -> None:
    mine, requests = batch(2, Told.EACH)
    events.tell_received(mine)
    events.tell_finished(mine, 0.5, [(True, "{}"), (False, "NameError")])
    assert [[kind for kind, _ in each.sent] for each in requests] == [
        ["task-received", "task-succeeded"], ["task-received", "task-failed"],
    ]  # fmt: skip
    assert requests[0].sent[0][1]["args"] == "arguments"
    assert requests[0].sent[1][1] == {"result": "{}", "runtime": 0.5}
    assert requests[1].sent[1][1]["exception"] == "NameError"


def test_nothing_is_told_of_one_that_had_ended_before() -> None:
    mine, requests = batch(2, Told.EACH)
    events.tell_finished(mine, 0.5, [None, (True, "{}")])
    assert [[kind for kind, _ in each.sent] for each in requests] == [[], ["task-succeeded"]]


def test_other_batches_have_one_each_under_their_first_request() -> None:
    mine, requests = batch(3, Told.BATCH)
    events.tell_received(mine)
    events.tell_finished(mine, 0.5, [(True, ""), (False, ""), (True, "")])
    assert [len(each.sent) for each in requests] == [2, 0, 0]
    assert requests[0].sent[0][1]["args"] == "3 requests"
    assert requests[0].sent[1] == (
        "task-succeeded", {"result": "2 of 3 succeeded", "runtime": 0.5}
    )  # fmt: skip


def test_of_a_batch_that_is_not_told_of_there_is_no_event() -> None:
    mine, requests = batch(2, Told.NOTHING)
    events.tell_received(mine)
    events.tell_finished(mine, 0.5, [(True, ""), (False, "")])
    events.tell_lost(mine, RuntimeError("lost"))
    assert [each.sent for each in requests] == [[], []]


def test_a_batch_of_which_all_failed_has_failed() -> None:
    mine, requests = batch(2, Told.BATCH)
    events.tell_finished(mine, 0.5, [(False, ""), (False, "")])
    assert requests[0].sent[0][0] == "task-failed"


def test_when_a_process_is_lost_each_request_that_was_told_of_has_failed() -> None:
    mine, requests = batch(2, Told.EACH)
    events.tell_lost(mine, RuntimeError("lost"))
    assert [each.sent[0][0] for each in requests] == ["task-failed"] * 2


def test_retries_and_the_end_of_the_wait_are_shown() -> None:
    mine, (request,) = batch(1, Told.EACH)
    request.deliveries = 3
    request.request_dict = {"sent": 1700000000.0, "timeout": 5.0}
    events.tell_received(mine)
    fields = request.sent[0][1]
    assert fields["retries"] == 2
    assert fields["expires"].startswith("2023-11-14T22:13:25")
