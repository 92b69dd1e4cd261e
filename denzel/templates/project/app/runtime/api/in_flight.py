"""The groups under way, and whether the next may leave or had better wait.

A group leaves when a worker process is free for it.  It waits all the same where that makes all
its requests earlier: behind a few quick ones whose task the next can have (``GroupPolicy.pause``),
and for clients that were answered a moment ago and are about to ask again, where a batch costs
much whatever it holds.  Without the latter, as many clients as were left out of one batch make
up the next, for ever: two half batches take turns at one GPU.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from app.runtime.api.grouping import GroupPolicy

RETURN_SECONDS = 0.005
EACH_SECONDS = 0.00025
"""How long all those who were answered may take to ask again: so much, and so much for each."""
QUIET_PART = 0.25
LONGEST_QUIET = 0.005
"""How long no request may come for more of them to be expected: a part of what a batch costs
whatever it holds, and seconds.  Others may have the processor for some milliseconds."""
ANSWERS_AFTER_A_WAIT_IN_VAIN = 10
"""How many answers nobody is waited for after most of those who were answered stayed away."""


@dataclass(eq=False, slots=True)
class Group:
    """Requests sent as one task; ``open`` counts those whose clients still wait."""

    size: int
    open: int
    since: float


@dataclass(slots=True)
class _Returning:
    """Clients who were answered a moment ago, and are waited for until ``until``.

    Counted are requests gathered or under way: when the wait began, when the last look was
    taken, and when all have come.
    """

    until: float = float("-inf")
    here_before: int = 0
    here: int = 0
    expected: int = 0
    next_look: float = 0.0


class InFlight:
    """One API process's groups under way; ``clock`` gives seconds."""

    def __init__(self, policy: GroupPolicy, clock: Callable[[], float] = time.monotonic) -> None:
        self._policy = policy
        self._clock = clock
        self._groups: dict[str, Group] = {}
        self._returning = _Returning()
        self._unawaited = 0

    @property
    def has_room(self) -> bool:
        """Whether another group may be under way."""
        return len(self._groups) < self._policy.limit

    @property
    def requests(self) -> int:
        """How many requests are under way."""
        return sum(group.size for group in self._groups.values())

    def send(self, name: str, size: int, gathered: int) -> Group:
        """Note that a group of ``size`` leaves, out of ``gathered`` requests."""
        self._end_wait(gathered)
        group = self._groups[name] = Group(size, size, self._clock())
        return group

    def answer(self, name: str, gathered: int) -> None:
        """Note that a group's outcomes are here, while so many requests have ``gathered``."""
        group = self._groups.pop(name, None)
        if group is None:
            return
        if self._unawaited > 0:
            self._unawaited -= 1
            return
        now = self._clock()
        here = gathered + self.requests
        if now >= self._returning.until:
            self._returning = _Returning(here_before=here)
        awaited = self._returning
        awaited.expected = max(awaited.expected, here + group.open)
        awaited.here, awaited.next_look = here, now + self._quiet
        longest = RETURN_SECONDS + EACH_SECONDS * (awaited.expected - here)
        awaited.until = now + min(longest, self._policy.return_seconds)

    def lose(self, name: str) -> None:
        """Note that a group did not leave after all."""
        self._groups.pop(name, None)

    def abandon(self, group: Group) -> bool:
        """Count one client less that waits for ``group``; tell whether its place is free now."""
        group.open -= 1
        if group.open > 0:
            return False
        lost = [name for name, each in self._groups.items() if each is group]
        for name in lost:
            del self._groups[name]
        return bool(lost)

    def patience(self, gathered: int, since: float) -> float:
        """Return the seconds that ``gathered`` requests had better wait, then to be asked again.

        ``since`` is when the oldest came in.
        """
        now = self._clock()
        patience = self._policy.patience(gathered, now - since)
        if self._groups:
            oldest = next(iter(self._groups.values()))  # a dict keeps the order
            pause = self._policy.pause(gathered, self.requests, now - oldest.since)
            patience = max(patience, pause)
        return max(patience, self._return_wait(gathered, now))

    def _return_wait(self, gathered: int, now: float) -> float:
        """Return the seconds to wait for those who were answered a moment ago.

        Until a worker process's share of all is here, or no more come, or it takes too long.
        """
        awaited = self._returning
        here = gathered + self.requests
        if now >= awaited.until or here >= awaited.expected or self._enough(gathered):
            return 0.0
        # A look that comes late says nothing: the event loop was busy, with them perhaps.
        is_look = abs(now - awaited.next_look) < self._quiet / 2
        if is_look and here == awaited.here:
            return 0.0
        awaited.here, awaited.next_look = here, now + self._quiet
        return min(self._quiet, awaited.until - now)

    @property
    def _quiet(self) -> float:
        return min(QUIET_PART * self._policy.return_seconds, LONGEST_QUIET)

    def _enough(self, gathered: int) -> bool:
        """Tell whether a worker process's share of all who are expected is here."""
        share = self._returning.expected / self._policy.slots
        return gathered >= min(share, self._policy.size)

    def _end_wait(self, gathered: int) -> None:
        """Take note of whether those who were waited for came."""
        awaited = self._returning
        came = gathered + self.requests - awaited.here_before
        answered = awaited.expected - awaited.here_before
        if 2 * came < answered and not self._enough(gathered):
            self._unawaited = ANSWERS_AFTER_A_WAIT_IN_VAIN
        self._returning = _Returning()
