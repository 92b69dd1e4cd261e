"""A side under more requests than its model can answer, and right after that."""

from __future__ import annotations

import time
from collections.abc import Sequence

from benchmarks.compare.scenarios import Crowd, Excess
from benchmarks.errors import BenchmarkError
from benchmarks.http_client import ask
from benchmarks.meter import Meter
from benchmarks.open_loop import OK, Answer, Generator
from benchmarks.records import Overload

MOST_CONNECTIONS = 4000
AFTERWARDS_SECONDS = 60.0
REFUSED_SECONDS = 0.05
MARGIN = 1.1
"""An answer that leaves the server in time may reach a client a little later."""


def measure_excess(meter: Meter, load: Excess) -> Overload:
    """Offer too much for a while, hang up, and see how long one client more has to wait.

    As many clients wait as the timeout allows; none of them tries again.
    """
    generator = Generator(
        meter.running.url, meter.workload.body, rate=load.offered, seed=meter.seed + meter.repeat,
        most_connections=MOST_CONNECTIONS,
    )  # fmt: skip
    started = time.monotonic()
    generator.run(load.ramp + load.seconds, drain=0.0)
    first = started + load.ramp
    in_time = answered_in_time(
        generator.answers, first, first + load.seconds, load.timeout * MARGIN
    )
    return Overload(
        workload=meter.name,
        load=load.label,
        side=meter.side,
        repeat=meter.repeat,
        capacity=load.capacity,
        in_time=in_time / load.seconds,
        wait_after=_seconds_until_answered(meter),
    )


def measure_crowd(meter: Meter, load: Crowd) -> Overload:
    """Let many clients ask again and again; the service itself refuses those it lets wait long."""
    answered = meter.load(load.clients, load.seconds)
    return Overload(
        workload=meter.name,
        load=load.label,
        side=meter.side,
        repeat=meter.repeat,
        capacity=load.capacity,
        in_time=answered.rps,
        wait_after=_seconds_until_answered(meter),
    )


def answered_in_time(answers: Sequence[Answer], first: float, last: float, timeout: float) -> int:
    """Return how many predictions came between two moments, within ``timeout`` of being due."""
    return sum(
        each.status == OK and each.seconds <= timeout and first <= each.due + each.seconds < last
        for each in answers
    )


def _seconds_until_answered(meter: Meter) -> float:
    """Return how long a client waits that asks again whenever it is refused."""
    started = time.monotonic()
    seen: object = None
    while time.monotonic() < started + AFTERWARDS_SECONDS:
        status, seen = ask(meter.running.port, "POST", "/predict", meter.workload.body)
        if status == OK:
            return time.monotonic() - started
        time.sleep(REFUSED_SECONDS)  # as a client would
    raise BenchmarkError(f"No answer {AFTERWARDS_SECONDS:g} s after an overload; last: {seen}")
