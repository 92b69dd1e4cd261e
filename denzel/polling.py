"""The one way denzel waits for something that nothing announces: ask, pause, ask again."""

from __future__ import annotations

import time
from collections.abc import Iterator

GROWTH = 1.5


def polls(
    interval: float, *, timeout: float | None = None, longest: float | None = None
) -> Iterator[None]:
    """Yield at once, then after every pause, and once more when ``timeout`` has passed.

    A pause is ``interval`` seconds; with ``longest`` each is half as long again as the one
    before, up to that many seconds.  The loop's body returns or breaks when it has seen what it
    waits for; that the loop ends by itself means the time is over.
    """
    deadline = None if timeout is None else time.monotonic() + timeout
    while True:
        yield
        left = None if deadline is None else deadline - time.monotonic()
        if left is not None and left <= 0:
            return
        time.sleep(interval if left is None else min(interval, left))
        if longest is not None:
            interval = min(interval * GROWTH, longest)
