"""When a callback is tried again, and when no more."""

from __future__ import annotations

import random
import time
from email.utils import format_datetime, formatdate

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from app.runtime.callbacks.schedule import Answer, RetrySchedule, parse_retry_after

SCHEDULE = RetrySchedule()
DAY = 24 * 3600.0
NO_ANSWER = Answer(error="it took too long")


def delays(schedule: RetrySchedule, answer: Answer, seed: int = 1) -> list[float]:
    """Return the delays of a callback whose receiver always answers this."""
    rng = random.Random(seed)
    found: list[float] = []
    while (delay := schedule.next_delay(len(found) + 1, sum(found), answer, rng)) is not None:
        found.append(delay)
        assert len(found) < 1000
    return found


@pytest.mark.parametrize(
    ("status", "repeated"),
    [
        (100, True), (103, True), (200, False), (201, False), (204, False), (299, False),
        (301, False), (302, False), (304, False), (307, False), (308, False),
        (400, False), (401, False), (403, False), (404, False), (405, False), (409, False),
        (410, False), (413, False), (422, False), (499, False),
        (408, True), (429, True), (500, True), (502, True), (503, True), (504, True),
        (599, True), (600, False), (999, False),
    ],
)  # fmt: skip
def test_status_decides(status: int, repeated: bool) -> None:
    delay = SCHEDULE.next_delay(1, 0, Answer(status), random.Random(1))
    assert (delay is not None) == repeated


def test_no_answer_is_tried_again_and_a_forbidden_uri_is_not() -> None:
    assert SCHEDULE.next_delay(1, 0, NO_ANSWER, random.Random(1)) is not None
    forbidden = Answer(error="forbidden", is_forbidden=True)
    assert SCHEDULE.next_delay(1, 0, forbidden, random.Random(1)) is None


def test_delays_grow_to_an_hour_and_end_with_the_period() -> None:
    found = delays(SCHEDULE, NO_ANSWER)
    full = [5, 15, 45, 135, 405, 1215]
    for delay, longest in zip(found, full, strict=False):
        assert longest / 2 <= delay <= longest
    assert all(1800 <= delay <= 3600 for delay in found[len(full) : -1])
    assert sum(found) == pytest.approx(DAY), "the last attempt stands at the period's end"
    assert 25 < len(found) < 60


def test_delays_of_callbacks_that_failed_together_differ() -> None:
    thirds = {round(delays(SCHEDULE, NO_ANSWER, seed)[2], 3) for seed in range(50)}
    assert len(thirds) == 50
    assert max(thirds) - min(thirds) > 15


def test_period_is_a_setting() -> None:
    assert sum(delays(RetrySchedule(period=60), NO_ANSWER)) == pytest.approx(60)
    assert delays(RetrySchedule(period=0), NO_ANSWER) == []


def test_retry_after_is_honoured_and_capped() -> None:
    rng = random.Random(1)
    assert 100 <= (SCHEDULE.next_delay(1, 0, Answer(429, 100.0), rng) or 0) <= 110
    assert 7200 <= (SCHEDULE.next_delay(1, 0, Answer(503, 7200.0), rng) or 0) <= 7920
    assert 21600 <= (SCHEDULE.next_delay(1, 0, Answer(503, 1e9), rng) or 0) <= 23760


def test_retry_after_never_makes_attempts_more_frequent() -> None:
    assert (SCHEDULE.next_delay(20, 5000, Answer(429, 0.0), random.Random(1)) or 0) >= 1800


@given(
    st.integers(1, 10**6),
    st.floats(0, 2 * DAY),
    st.none() | st.floats(0, 1e300),
    st.integers(),
)
def test_delay_is_sound_whatever_comes(
    attempt: int, age: float, retry_after: float | None, seed: int
) -> None:
    delay = SCHEDULE.next_delay(attempt, age, Answer(503, retry_after), random.Random(seed))
    if age >= DAY:
        assert delay is None
    else:
        assert delay is not None
        assert delay > 0 and age + delay <= DAY + 1e-6


NOW = 1_790_000_000.0


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("120", 120), (" 0 ", 0), (formatdate(NOW + 90, usegmt=True), 90),
        (formatdate(NOW - 90, usegmt=True), 0), ("Mon, 21 Sep 2026 14:13:21 -0000", 1),
        (None, None), ("", None), ("-5", None), ("1.5", None), ("soon", None), ("\u0663", None),
        ("9" * 5000, 1e9), ("Mon, 99 Foo 2026 99:99:99 GMT", None),
    ],
)  # fmt: skip
def test_retry_after_header_is_read(text: str | None, seconds: float | None) -> None:
    assert parse_retry_after(text, NOW) == seconds


def test_date_without_a_zone_is_utc_wherever_this_machine_stands(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with monkeypatch.context() as patch:
        patch.setenv("TZ", "Asia/Tokyo")
        time.tzset()
        found = parse_retry_after("Mon, 21 Sep 2026 14:13:21 -0000", NOW)
    time.tzset()
    assert found == 1


@given(st.text(max_size=60) | st.datetimes().map(format_datetime))
@example("Fri, 31 Dec 9999 23:59:59 -2359")
@example("Mon, 01 Jan 0001 00:00:00 +2359")
def test_any_retry_after_header_is_harmless(text: str) -> None:
    found = parse_retry_after(text, NOW)
    assert found is None or found >= 0
