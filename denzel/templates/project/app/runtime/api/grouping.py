"""How many requests travel together, and how many groups at once: decided by measurement.

A Celery task costs about two milliseconds of processor time whatever it carries, so requests
that wait at the same moment share one.  Two things must not suffer for it: requests whose
predictions are slow must spread over the worker's processes rather than queue behind one
another, and where few requests are under way none waits while a process is free.
"""

from __future__ import annotations

from dataclasses import dataclass, field

GROUP_SECONDS = 0.008
"""What a group without predict_batch may take: longer, and its members wait for one another."""
MAX_GROUP_SIZE = 64
SLOW_AHEAD = 4
"""Slow requests sent ahead for each worker process, so that none waits for the next to travel."""
TASK_SECONDS = 0.003
"""How long a Celery task is on its way, there and back, whatever it carries."""
CROWD = 4
"""Quick requests under way from which on others wait for them and share the next task.

From 8 connections on that was the quicker way for all; at 64 it made a third more answers
(iris, two processors)."""
LONGEST_PAUSE = 0.02
"""Seconds after which a quick group under way is waited for no longer: something keeps it."""
RETURN_PART = 1.0
"""How long those who were just answered are waited for, as a part of what a batch costs whatever
it holds."""
WORTHWHILE_SECONDS = 0.003
"""What a batch must cost at least whatever it holds, for them to be waited for at all: they need
about so long to be answered and to ask again."""
_WEIGHT = 0.2
_COST_WEIGHT = 0.05


@dataclass
class GroupCost:
    """What a group costs whatever it holds, by least squares over the groups of late.

    Older ones count less and less.
    """

    fixed: float = field(default=0.0, init=False)
    _size: float = field(default=0.0, init=False)
    _seconds: float = field(default=0.0, init=False)
    _size_variance: float = field(default=0.0, init=False)
    _covariance: float = field(default=0.0, init=False)
    _is_first: bool = field(default=True, init=False)

    def observe(self, requests: int, seconds: float) -> None:
        """Take in how long a worker process took for a group."""
        if self._is_first:
            self._is_first = False
            self._size, self._seconds = requests, seconds
        size_apart, seconds_apart = requests - self._size, seconds - self._seconds
        self._size += _COST_WEIGHT * size_apart
        self._seconds += _COST_WEIGHT * seconds_apart
        rest = 1 - _COST_WEIGHT
        self._size_variance = rest * (self._size_variance + _COST_WEIGHT * size_apart**2)
        self._covariance = rest * (self._covariance + _COST_WEIGHT * size_apart * seconds_apart)
        each = self._covariance / self._size_variance if self._size_variance else 0.0
        self.fixed = max(0.0, self._seconds - max(0.0, each) * self._size)


@dataclass
class GroupPolicy:
    """Sizes groups for one API process; seconds throughout.

    ``slots`` is this process's share of the worker processes alive.
    """

    batching: bool
    batch_max_size: int
    batch_max_wait: float = 0.0
    slots: int = 1
    seconds_per_request: float | None = field(default=None, init=False)
    _cost: GroupCost = field(default_factory=GroupCost, init=False)

    def observe(self, requests: int, seconds: float) -> None:
        """Take in how long a worker process took for a group."""
        self._cost.observe(requests, seconds)
        each = seconds / max(requests, 1)
        if self.seconds_per_request is None:
            self.seconds_per_request = each
        else:
            self.seconds_per_request += _WEIGHT * (each - self.seconds_per_request)

    def learn(self, seconds_per_request: float) -> None:
        """Take another process's measurement, for want of one's own."""
        if self.seconds_per_request is None:
            self.seconds_per_request = seconds_per_request

    @property
    def size(self) -> int:
        """Most requests a group may hold now; 1 until something was measured."""
        if self.batching:
            return self.batch_max_size
        if self.seconds_per_request is None:
            return 1
        fitting = GROUP_SECONDS / max(self.seconds_per_request, 1e-6)
        return max(1, min(MAX_GROUP_SIZE, int(fitting)))

    def patience(self, gathered: int, age: float) -> float:
        """Return the seconds to wait for more requests before ``gathered`` of them are sent.

        ``age`` is that of the oldest.  0 unless BATCH_MAX_WAIT asks for fuller batches.
        """
        if not self.batching or gathered >= self.size:
            return 0.0
        return max(0.0, self.batch_max_wait - age)

    def pause(self, gathered: int, under_way: int, age: float) -> float:
        """Return the seconds to wait for the requests ``under_way`` before others are sent.

        ``age`` is how long ago the oldest of them left.  0 unless they are predicted in less
        time than one more task costs, and the next group is not full yet.
        """
        if under_way < CROWD or gathered >= self.size or self.seconds_per_request is None:
            return 0.0
        if under_way * self.seconds_per_request >= TASK_SECONDS:
            return 0.0
        return max(0.0, LONGEST_PAUSE - age)

    @property
    def return_seconds(self) -> float:
        """Seconds for which a batch waits for those who were just answered; 0: not at all."""
        if not self.batching or self._cost.fixed < WORTHWHILE_SECONDS:
            return 0.0
        return RETURN_PART * self._cost.fixed

    @property
    def limit(self) -> int:
        """Most groups that may be under way now.

        One for each worker process: what arrives meanwhile goes together.  Where predictions
        are so slow that each goes alone, nothing is gained by holding them back.
        """
        return self.slots if self.size > 1 else SLOW_AHEAD * self.slots
