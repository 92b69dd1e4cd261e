"""Kill processes of a deployment at random moments, and measure until they are replaced."""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from statistics import median

from denzel.polling import polls

from .stage import API_CHILD, CALLBACKS, HOST, REDIS, WORKER, WORKER_CHILD, Stage

KINDS = (WORKER, WORKER_CHILD, API_CHILD, CALLBACKS, REDIS, HOST)
RECOVERY_SECONDS = 90
POLL_SECONDS = 0.1


@dataclass(frozen=True)
class Kill:
    """A process that was killed; ``seconds`` until the deployment was whole, None for never."""

    kind: str
    at: float
    seconds: float | None


def plan(count: int, rng: random.Random) -> list[str]:
    """Return what to kill, in random order: each kind as often as any other, but for one."""
    kinds = [KINDS[position % len(KINDS)] for position in range(count)]
    rng.shuffle(kinds)
    return kinds


class Killer:
    """Kills with SIGKILL; ``is_whole(kind)`` tells whether what was killed works again."""

    def __init__(self, stage: Stage, is_whole: Callable[[str], bool]) -> None:
        self.kills: list[Kill] = []
        self._stage = stage
        self._is_whole = is_whole
        self._usual = {kind: len(stage.pids(kind)) for kind in KINDS}
        self._watching: list[threading.Thread] = []

    def run(self, kinds: list[str], pause: tuple[float, float], rng: random.Random) -> None:
        """Kill one after another, at random moments, however far the last one has recovered."""
        waiting = threading.Event()
        for kind in kinds:
            waiting.wait(rng.uniform(*pause))
            self._kill(kind, rng)
        for thread in self._watching:
            thread.join()

    def _kill(self, kind: str, rng: random.Random) -> None:
        for _ in polls(POLL_SECONDS, timeout=RECOVERY_SECONDS):
            victims = self._stage.pids(kind)
            if not victims:
                continue
            victim = rng.choice(sorted(victims))
            with suppress(ProcessLookupError):
                os.kill(victim, signal.SIGKILL)
                watching = threading.Thread(target=self._watch, args=(kind, victim))
                watching.start()
                self._watching.append(watching)
                return
        raise AssertionError(f"No {kind} to kill within {RECOVERY_SECONDS} s")

    def _watch(self, kind: str, victim: int) -> None:
        killed = time.monotonic()
        for _ in polls(POLL_SECONDS, timeout=RECOVERY_SECONDS):
            pids = self._stage.pids(kind)
            if victim in pids or len(pids) < self._usual[kind]:
                continue
            if self._is_whole(kind):
                self.kills.append(Kill(kind, killed, time.monotonic() - killed))
                return
        self.kills.append(Kill(kind, killed, None))


def recovery_figures(kills: list[Kill]) -> dict[str, str]:
    """Return for each kind how many were killed, and the median and longest recovery."""
    seconds = defaultdict(list)
    for kill in kills:
        seconds[kill.kind].append(float("inf") if kill.seconds is None else kill.seconds)
    return {
        kind: f"{len(each)} killed, back after {median(each):.1f} s (median), {max(each):.1f} s"
        for kind, each in sorted(seconds.items())
    }
