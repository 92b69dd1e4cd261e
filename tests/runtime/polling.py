"""Wait for what tests cannot hear of, with a deadline."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TypeVar

Found = TypeVar("Found")


def wait_until(
    predicate: Callable[[], Found],
    timeout: float,
    *,
    what: str,
    evidence: Callable[[], str] = str,
) -> Found:
    """Return the predicate's first true value; fail after ``timeout`` seconds with evidence."""
    deadline = time.monotonic() + timeout
    tick = threading.Event()
    while True:
        found = predicate()
        if found:
            return found
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {timeout:g} s: {what}\n{evidence()}")
        tick.wait(0.02)
