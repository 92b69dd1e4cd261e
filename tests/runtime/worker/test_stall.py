"""When a prediction counts as stalled, and which line of code is shown."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import pytest

from app.runtime.worker.stall import Prediction, StallWatch

ONE = Prediction(2**22 + 1, "a")  # no process has such a number, so that none gets a signal
LIMIT = 30.0


@dataclass
class Lab:
    """A watch whose clock and processor times a test sets."""

    directory: Path
    now: float = 0.0
    cpu: dict[int, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Make the watch."""
        self.watch = StallWatch(
            LIMIT,
            str(self.directory),
            lambda: self.now,
            lambda pids: {pid: self.cpu.get(pid, 0.0) for pid in pids},
        )

    def pass_time(self, seconds: float, *running: Prediction, cpu: float = 0.0) -> list[str]:
        """Look every half second; return the stalled tasks of the last look."""
        end = self.now + seconds
        names: list[str] = []
        while self.now < end:
            self.now += 0.5
            for each in running:
                self.cpu[each.pid] = self.cpu.get(each.pid, 0.0) + cpu * 0.5
            names = [stall.task_id for stall in self.watch.look(running)]
        return names


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    """Return a watch under control."""
    return Lab(tmp_path)


def test_a_prediction_that_uses_no_processor_is_stalled_after_the_limit(lab: Lab) -> None:
    assert lab.pass_time(LIMIT - 1, ONE) == []
    assert lab.pass_time(2, ONE) == ["a"]


def test_a_prediction_that_uses_the_processor_never_is(lab: Lab) -> None:
    assert lab.pass_time(10 * LIMIT, ONE, cpu=1.0) == []


def test_a_trace_of_processor_time_does_not_hide_a_stall(lab: Lab) -> None:
    """Some libraries' threads wake up now and then."""
    assert lab.pass_time(2 * LIMIT, ONE, cpu=0.001) == ["a"]


def test_a_stall_is_over_when_the_processor_is_used_again(lab: Lab) -> None:
    assert lab.pass_time(LIMIT + 2, ONE) == ["a"]
    assert lab.pass_time(3, ONE, cpu=0.5) == []
    assert lab.pass_time(LIMIT - 5, ONE) == []
    assert lab.pass_time(10, ONE) == ["a"]


def test_the_next_prediction_of_the_same_process_begins_anew(lab: Lab) -> None:
    assert lab.pass_time(LIMIT + 2, ONE) == ["a"]
    assert lab.pass_time(LIMIT - 1, Prediction(ONE.pid, "b")) == []


def test_zero_turns_it_off(lab: Lab) -> None:
    lab.watch = StallWatch(
        0, str(lab.directory), lambda: lab.now, lambda pids: dict.fromkeys(pids, 0.0)
    )
    assert lab.pass_time(10 * LIMIT, ONE) == []
