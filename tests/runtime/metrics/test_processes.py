"""How memory is measured: each process now and then, large ones one at a time."""

from __future__ import annotations

import os

from app.runtime.metrics.processes import MEASURED_SECONDS, Memory, memory_bytes

GB = 2**30


class Machine:
    """Processes of certain sizes, whose measuring takes 20 ms for each gigabyte."""

    def __init__(self, *sizes: int) -> None:
        self.sizes = dict(enumerate(sizes))
        self.now = 100.0
        self.measured: list[int] = []

    def measure(self, pid: int) -> int:
        """Take the time that it takes."""
        self.now += 0.02 * self.sizes[pid] / GB
        self.measured.append(pid)
        return self.sizes[pid]

    def clock(self) -> float:
        """Return the time."""
        return self.now


def test_small_processes_are_measured_all_at_once_and_not_again_for_a_while() -> None:
    machine = Machine(GB // 20, GB // 20, GB // 20)
    memory = Memory(machine.measure, machine.clock)
    for _ in range(3):
        assert memory.total(machine.sizes) == 3 * (GB // 20)
        machine.now += 2
    assert machine.measured == [0, 1, 2]
    machine.now += MEASURED_SECONDS
    memory.total(machine.sizes)
    assert machine.measured == [0, 1, 2] * 2


def test_large_processes_are_measured_one_at_a_time_with_pauses() -> None:
    machine = Machine(10 * GB, 10 * GB, 10 * GB)
    memory = Memory(machine.measure, machine.clock)
    began = machine.now
    while len(machine.measured) < 6:
        before = len(machine.measured)
        memory.total(machine.sizes)
        assert len(machine.measured) <= before + 1
        machine.now += 2
    assert machine.measured == [0, 1, 2] * 2
    assert machine.now - began > 5 * 100 * 0.2  # a hundredth of the time, at most
    assert memory.total(machine.sizes) == 30 * GB


def test_a_process_that_has_ended_counts_no_more() -> None:
    machine = Machine(GB, GB)
    memory = Memory(machine.measure, machine.clock)
    memory.total([0])
    machine.now += 10
    assert memory.total([0, 1]) == 2 * GB
    assert memory.total([1]) == GB


def test_the_kernel_tells() -> None:
    assert memory_bytes(os.getpid()) > 10 * 2**20
    assert memory_bytes(2**31 - 1) == 0
