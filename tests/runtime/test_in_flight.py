"""When the next group leaves, by what is under way and by who was answered a moment ago."""

from __future__ import annotations

import pytest
from app.runtime.api.grouping import CROWD, LONGEST_PAUSE, TASK_SECONDS, GroupPolicy
from app.runtime.api.in_flight import (
    ANSWERS_AFTER_A_WAIT_IN_VAIN,
    EACH_SECONDS,
    LONGEST_QUIET,
    RETURN_SECONDS,
    InFlight,
)

BATCH_SECONDS = 0.01
SIZE = 32


class Clock:
    """Seconds that pass when told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Stage:
    """Groups under way to worker processes for which a batch costs the same whatever it holds."""

    def __init__(self, *, slots: int = 1, batch: float = BATCH_SECONDS, size: int = SIZE) -> None:
        self.clock = Clock()
        self.policy = GroupPolicy(batching=True, batch_max_size=size, slots=slots)
        self.policy.observe(1, batch)
        self.in_flight = InFlight(self.policy, self.clock)
        self.sent = 0

    def send(self, size: int) -> str:
        self.sent += 1
        name = f"group {self.sent}"
        self.in_flight.send(name, size, size)
        return name

    def patience(self, gathered: int) -> float:
        return self.in_flight.patience(gathered, self.clock.now)

    def wait(self, gathered: int) -> int:
        """Look as often as told to while nobody comes; return how often that was."""
        for looks in range(1000):
            patience = self.patience(gathered)
            if patience == 0:
                return looks
            self.clock.now += patience
        raise AssertionError("it waits for ever")


def test_a_lone_client_never_waits() -> None:
    stage = Stage()
    stage.in_flight.answer(stage.send(1), 0)
    assert stage.patience(1) == 0


def test_those_left_out_of_a_batch_wait_for_those_who_were_in_it() -> None:
    stage = Stage()
    stage.in_flight.answer(stage.send(8), 8)
    assert stage.patience(8) > 0
    assert stage.patience(15) > 0
    assert stage.patience(16) == 0, "all are here"


def test_nobody_waits_once_no_more_come() -> None:
    stage = Stage()
    stage.in_flight.answer(stage.send(8), 8)
    began = stage.clock.now
    assert stage.wait(8) == 1
    assert stage.clock.now - began <= LONGEST_QUIET


def test_a_look_that_comes_late_is_taken_again() -> None:
    stage = Stage()
    stage.in_flight.answer(stage.send(8), 8)
    stage.clock.now += 2 * stage.patience(8)
    assert stage.patience(8) > 0, "the event loop was busy: it has read nothing"


def test_nobody_waits_for_those_who_stay_away() -> None:
    stage = Stage()
    stage.in_flight.answer(stage.send(8), 8)
    stage.wait(8)
    name = stage.send(8)
    for _ in range(ANSWERS_AFTER_A_WAIT_IN_VAIN):
        stage.in_flight.answer(name, 8)
        assert stage.patience(8) == 0
        name = stage.send(8)
    stage.in_flight.answer(name, 8)
    assert stage.patience(8) > 0, "it is tried again now and then"


def test_those_who_come_back_are_waited_for_the_next_time_too() -> None:
    stage = Stage()
    name = stage.send(8)
    for _ in range(3):
        stage.in_flight.answer(name, 0)
        assert stage.patience(7) > 0
        assert stage.patience(8) == 0
        name = stage.send(8)


def test_a_full_batch_waits_for_nobody_and_says_nothing_of_who_comes_back() -> None:
    stage = Stage()
    stage.in_flight.answer(stage.send(SIZE), SIZE)
    assert stage.patience(SIZE) == 0
    stage.in_flight.answer(stage.send(SIZE), 1)
    assert stage.patience(1) > 0


def test_clients_are_shared_among_the_processes() -> None:
    stage = Stage(slots=2)
    first = stage.send(12)
    stage.send(4)
    stage.in_flight.answer(first, 0)
    assert stage.patience(7) > 0
    assert stage.patience(8) == 0, "the other half is the other process's"


def test_a_wait_is_no_longer_than_a_batch_is_worth() -> None:
    stage = Stage()
    stage.in_flight.answer(stage.send(30), 1)
    stage.clock.now += BATCH_SECONDS
    assert stage.patience(2) == 0


def test_a_wait_is_no_longer_than_it_takes_to_answer_and_read() -> None:
    stage = Stage(batch=10.0)
    stage.in_flight.answer(stage.send(8), 1)
    stage.clock.now += RETURN_SECONDS + 8 * EACH_SECONDS
    assert stage.patience(2) == 0


def test_nobody_is_waited_for_where_batches_are_quick() -> None:
    stage = Stage(batch=TASK_SECONDS / 2)
    stage.in_flight.answer(stage.send(2), 1)
    assert stage.patience(1) == 0


def test_clients_who_hung_up_are_not_waited_for() -> None:
    stage = Stage()
    group = stage.in_flight.send("group", 3, 3)
    assert not stage.in_flight.abandon(group)
    assert not stage.in_flight.abandon(group)
    stage.in_flight.answer("group", 0)
    assert stage.patience(1) == 0


def test_a_group_that_everybody_left_frees_its_place() -> None:
    stage = Stage()
    group = stage.in_flight.send("group", 1, 1)
    was_full = not stage.in_flight.has_room
    assert stage.in_flight.abandon(group)
    assert was_full and stage.in_flight.has_room
    stage.in_flight.answer("group", 0)  # late, and nobody's


def test_a_group_that_did_not_leave_frees_its_place() -> None:
    stage = Stage()
    stage.in_flight.lose(stage.send(4))
    assert stage.in_flight.has_room
    assert stage.in_flight.requests == 0


@pytest.mark.parametrize(("under_way", "pause"), [(CROWD - 1, 0.0), (CROWD, LONGEST_PAUSE)])
def test_a_few_quick_requests_under_way_are_followed(under_way: int, pause: float) -> None:
    stage = Stage(slots=2, batch=TASK_SECONDS / 100)
    stage.send(under_way)
    assert stage.patience(1) == pause
