"""What came of an attempt to deliver a callback, and when the next one is due."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime

_WORTH_ANOTHER_TRY = frozenset({408, 429})


@dataclass(frozen=True, slots=True)
class Answer:
    """What a receiver answered, or why there is no answer.

    ``error`` is one sentence for the operator, empty when the callback was delivered.
    ``retry_after`` is in seconds from now.  ``is_forbidden``: the URI itself may not be called,
    now or later.
    """

    status: int | None = None
    retry_after: float | None = None
    error: str = ""
    is_forbidden: bool = False

    @property
    def is_delivered(self) -> bool:
        """Tell whether the receiver has taken the callback."""
        return self.status is not None and 200 <= self.status < 300

    @property
    def may_be_repeated(self) -> bool:
        """Tell whether another attempt could end better.

        A redirect is final: it is never followed (Standard Webhooks, "3xx").  No answer at all
        is not, nor a name that does not resolve to an allowed address: both may pass.
        """
        if self.status is None:
            return not self.is_forbidden
        server_fault = 500 <= self.status < 600 or self.status < 200
        return server_fault or self.status in _WORTH_ANOTHER_TRY


@dataclass(frozen=True, slots=True)
class RetrySchedule:
    """How long to wait between attempts; all fields are in seconds.

    With the defaults an attempt follows after about 5 s, 15 s, 45 s, 2 min, 7 min, 20 min, and
    then every hour, some thirty in all.
    """

    period: float = 24 * 3600
    """No attempt begins later than this after the first."""
    first_delay: float = 5
    growth: float = 3.0
    longest_delay: float = 3600
    longest_retry_after: float = 6 * 3600
    """A receiver's Retry-After is honoured up to this."""

    def next_delay(
        self, attempt: int, age: float, answer: Answer, rng: random.Random
    ) -> float | None:
        """Return the seconds to wait for the next attempt; None when there shall be none.

        ``attempt`` is how many were made, at least 1; ``age`` how long ago the first began.
        Jitter takes off up to half of a delay, so that callbacks which failed together (their
        receiver was down) come back spread out.  The last attempt stands at the very end of
        the period.
        """
        if answer.is_delivered or not answer.may_be_repeated or age >= self.period:
            return None
        steps = min(attempt - 1, 64)  # enough for any schedule, and no float overflows
        delay = min(self.longest_delay, self.first_delay * self.growth**steps)
        delay *= rng.uniform(0.5, 1)
        if answer.retry_after is not None:
            asked = min(answer.retry_after, self.longest_retry_after)
            delay = max(delay, asked * rng.uniform(1, 1.1))
        return min(delay, self.period - age)


def parse_retry_after(text: str | None, now: float) -> float | None:
    """Return a Retry-After header (RFC 9110, 10.2.3) as seconds from ``now``; None if unusable.

    ``now`` is in seconds since 1970.
    """
    text = (text or "").strip()
    if text.isascii() and text.isdigit():
        seconds = float(text)  # a number too long is infinite, and so capped by the schedule
        return seconds if math.isfinite(seconds) else float(10**9)
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, IndexError, TypeError, OverflowError):
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    try:
        return max(0.0, moment.timestamp() - now)
    except (OverflowError, ValueError):
        return None
