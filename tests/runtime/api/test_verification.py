"""Where verify_input runs, and what becomes of what it raises."""

from __future__ import annotations

import asyncio
import json
import logging
import resource
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from app.runtime.api.errors import BadInput, BrokenPipeline
from app.runtime.api.verification import (
    RECENT_CALLS,
    SLOW_CALLS,
    SLOW_SECONDS,
    Verifier,
    was_preempted,
)

SLOW = 2 * SLOW_SECONDS


def run(verifier: Verifier, *bodies: Any) -> list[Any]:
    """Verify one body after another on one event loop; return what came of each."""

    async def verify() -> list[Any]:
        return [json.loads((await verifier(body)).payload) for body in bodies]

    return asyncio.run(verify())


class Spy:
    """A verify_input that sleeps for as long as it is told, and notes where it ran."""

    def __init__(self) -> None:
        self.places: list[str] = []
        self.running: set[str] = set()
        self.mixed = False

    def __call__(self, seconds: float) -> float:
        """Note the thread, and whether others run beside the event loop."""
        here = threading.current_thread().name
        self.places.append("loop" if here == threading.main_thread().name else "thread")
        self.running.add(here)
        self.mixed |= threading.main_thread().name in self.running and len(self.running) > 1
        time.sleep(seconds)
        self.running.discard(here)
        return seconds


def test_a_quick_verify_input_stays_on_the_event_loop() -> None:
    spy = Spy()
    run(Verifier(spy, 2), *[0.0] * 50)
    assert spy.places == ["loop"] * 50


def test_a_slow_one_leaves_it_for_good_after_three_slow_calls() -> None:
    spy = Spy()
    run(Verifier(spy, 2), *[0.0, SLOW, 0.0] * SLOW_CALLS, *[0.0] * 50)
    on_loop = spy.places.index("thread")
    assert on_loop == 3 * SLOW_CALLS - 1  # slow calls need not be in a row
    assert set(spy.places[on_loop:]) == {"thread"}


def test_the_first_call_does_not_count() -> None:
    spy = Spy()
    run(Verifier(spy, 2), *[SLOW] * (SLOW_CALLS + 1), SLOW)
    assert spy.places == ["loop"] * (SLOW_CALLS + 1) + ["thread"]


def compute(seconds: float) -> None:
    """Use up processor time."""
    until = time.thread_time() + seconds
    while time.thread_time() < until:
        pass


def test_one_that_computes_for_long_is_slow_too() -> None:
    spy = Spy()

    def verify_input(seconds: float) -> float:
        compute(seconds)
        return spy(0)

    run(Verifier(verify_input, 2), *[SLOW] * (SLOW_CALLS + 2))
    assert spy.places == ["loop"] * (SLOW_CALLS + 1) + ["thread"]


def test_slow_calls_far_apart_do_not_add_up() -> None:
    places: list[str] = []

    def verify_input(seconds: float) -> float:
        places.append(threading.current_thread().name)
        compute(seconds)  # time in which others have the processor does not count
        return seconds

    run(Verifier(verify_input, 2), 0.0, *[SLOW, *[0.0] * RECENT_CALLS] * (SLOW_CALLS + 1))
    assert set(places) == {threading.main_thread().name}


def usage(seconds: float, waits: int) -> resource.struct_rusage:
    """Return what getrusage(2) tells of a thread that used so much."""
    return resource.struct_rusage([seconds, *[0] * 13, waits, 0])


def test_that_others_had_the_processor_is_not_its_slowness() -> None:
    before = usage(1.0, 7)
    assert was_preempted(before, usage(1.0 + SLOW_SECONDS / 2, 7))
    assert not was_preempted(before, usage(1.0 + 2 * SLOW_SECONDS, 7))  # it computed
    assert not was_preempted(before, usage(1.0, 8))  # it waited


@pytest.mark.parametrize("work", [time.sleep, compute])
def test_what_a_thread_computes_and_waits_for_is_told(work: Callable[[float], None]) -> None:
    before = resource.getrusage(resource.RUSAGE_THREAD)
    work(SLOW)
    assert not was_preempted(before, resource.getrusage(resource.RUSAGE_THREAD))


def test_it_never_runs_on_the_event_loop_and_in_a_thread_at_once() -> None:
    spy = Spy()

    async def many() -> None:
        verifier = Verifier(spy, 4)
        await asyncio.gather(*[verifier(SLOW if n % 5 == 0 else 0.001) for n in range(100)])

    asyncio.run(many())
    assert set(spy.places) == {"loop", "thread"}
    assert not spy.mixed


def test_in_threads_calls_run_side_by_side_and_the_event_loop_goes_on() -> None:
    spy = Spy()

    async def many() -> float:
        verifier = Verifier(spy, 4)
        for _ in range(SLOW_CALLS + 1):
            await verifier(SLOW)
        calls = asyncio.gather(*[verifier(0.2) for _ in range(4)])
        longest, last = 0.0, time.monotonic()
        while not calls.done():
            await asyncio.sleep(0.001)
            longest, last = max(longest, time.monotonic() - last), time.monotonic()
        assert len(spy.running) == 0
        return longest

    started = time.monotonic()
    assert asyncio.run(many()) < 0.15
    assert time.monotonic() - started < 0.7


def test_an_async_one_is_awaited() -> None:
    async def verify_input(data: Any) -> Any:
        await asyncio.sleep(0)
        if data == "bad":
            raise ValueError("no good")
        return {"got": data}

    assert run(Verifier(verify_input, 2), 1, 2) == [{"got": 1}, {"got": 2}]
    with pytest.raises(BadInput, match="no good"):
        run(Verifier(verify_input, 2), "bad")


def test_a_client_that_leaves_ends_an_async_one() -> None:
    ended: list[str] = []

    async def verify_input(data: Any) -> Any:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            ended.append("cancelled")
            raise

    async def leave() -> None:
        verifying = asyncio.ensure_future(Verifier(verify_input, 2)(1))
        await asyncio.sleep(0)
        verifying.cancel()
        with pytest.raises(asyncio.CancelledError):
            await verifying

    asyncio.run(leave())
    assert ended == ["cancelled"]


def test_that_an_async_one_raises_cancelled_by_itself_is_no_leaving() -> None:
    async def verify_input(data: Any) -> Any:
        raise asyncio.CancelledError("mine")

    with pytest.raises(BadInput, match="CancelledError: mine"):
        run(Verifier(verify_input, 2), 1)


def throws(error: BaseException) -> Callable[[Any], Any]:
    """Return a verify_input that raises."""

    def verify_input(data: Any) -> Any:
        raise error

    return verify_input


def test_a_value_error_refuses_with_its_message_and_no_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with pytest.raises(BadInput) as refused:
        run(Verifier(throws(ValueError("no data")), 2), 1)
    assert refused.value.body["description"] == "no data"
    assert not caplog.records


def test_anything_else_is_logged_with_the_users_own_lines(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def verify_input(data: Any) -> Any:
        return data["zork"]

    with caplog.at_level(logging.INFO), pytest.raises(BadInput) as refused:
        run(Verifier(verify_input, 2), {})
    assert refused.value.body["description"] == "KeyError: 'zork'"
    (record,) = caplog.records
    assert record.levelno == logging.ERROR
    assert 'return data["zork"]' in caplog.text
    assert caplog.text.count('File "') == 1


def test_what_json_cannot_hold_is_the_pipelines_fault() -> None:
    with pytest.raises(BrokenPipeline, match="verify_input"):
        run(Verifier(lambda data: {1, 2}, 2), 1)


def test_that_the_event_loop_is_held_shows_from_another_thread() -> None:
    seen: list[bool] = []
    verifier: Verifier

    def verify_input(data: Any) -> Any:
        other = threading.Thread(target=lambda: seen.append(verifier.is_running_on_loop()))
        other.start()
        other.join()
        return data

    verifier = Verifier(verify_input, 2)
    assert not verifier.is_running_on_loop()
    run(verifier, 1)
    assert seen == [True]
    assert not verifier.is_running_on_loop()
