"""Limits on what is under way: in all, and for each receiver."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

SPARE = 8
"""A key may have at most this fraction of what is free, so that a new one always finds some."""


class Crowded(Exception):
    """There is no room for more under way for ``key``."""

    def __init__(self, key: str) -> None:
        super().__init__(key)
        self.key = key


class Slots:
    """Slots for what is under way, ``total`` in all and at most ``each`` for one key.

    The more are taken, the fewer may one key have (at least one): the rule of dynamic thresholds
    for shared buffers (Choudhury and Hahne, 1998).  So keys that hold theirs for long, however
    many, leave room for others, and a single one is not limited for the sake of nobody.
    Nothing is remembered of a key that holds none.
    """

    def __init__(self, total: int, each: int) -> None:
        self._total = total
        self._each = each
        self._held: Counter[str] = Counter()
        self._used = 0
        self.on_release: Callable[[str], None] = lambda key: None

    def room(self, key: str) -> int:
        """Return how many more may be under way for a key."""
        free = self._total - self._used
        limit = max(1, min(self._each, free // SPARE))
        return max(0, min(free, limit - self._held[key]))

    def held(self, key: str) -> int:
        """Return how many are under way for a key."""
        return self._held[key]

    def acquire(self, key: str) -> None:
        """Take a slot; raises Crowded when there is no room."""
        if not self.room(key):
            raise Crowded(key)
        self._held[key] += 1
        self._used += 1

    def release(self, key: str) -> None:
        """Give a slot back, and call ``on_release`` with the key."""
        self._used -= 1
        self._held[key] -= 1
        if not self._held[key]:
            del self._held[key]
        self.on_release(key)
