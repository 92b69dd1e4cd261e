"""Name predictions that neither end nor use the processor: they probably wait for ever.

A pool process writes the stacks of its threads into a file when it gets a signal, which works
whatever its code is doing (faulthandler).
"""

from __future__ import annotations

import faulthandler
import logging
import os
import signal
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, NamedTuple

from app.runtime.pipeline.tracebacks import innermost_line
from app.runtime.worker.batch import batches
from app.runtime.worker.process_tree import cpu_seconds
from app.runtime.worker.report import Stall

STACK_SIGNAL = signal.SIGRTMIN + 7 if hasattr(signal, "SIGRTMIN") else signal.SIGUSR2
"""Asks a pool process for its stacks; neither Celery nor Python's own library uses it."""
FIRST_LOOK_SECONDS = 1.0
"""Predictions that end sooner are never measured."""
IDLE_SHARE = 0.01
"""Who uses less of a processor's time than this does not use it."""
SHOWN_STEP = 10
STACK_LOOKS = 4
"""How many times a stack that was asked for is looked for."""

log = logging.getLogger("denzel.stall")

_stack_files: list[IO[str]] = []


def show_stacks_on_request(run_directory: str) -> None:
    """Have this process write its threads' stacks into its file on STACK_SIGNAL."""
    file = _stack_path(run_directory, os.getpid()).open("a", encoding="utf-8")
    faulthandler.register(STACK_SIGNAL, file=file, all_threads=True)
    _stack_files[:] = [file]  # faulthandler knows its number alone; it must stay open


class Prediction(NamedTuple):
    """What a pool process is at; of a batch, the first task."""

    pid: int
    task_id: str


def running_predictions() -> list[Prediction]:
    """Return what the pool's processes predict at this moment."""
    return [Prediction(batch.pid, batch.id) for batch in batches.running() if batch.pid is not None]


@dataclass
class _Watched:
    """A prediction's processor time when it last used any; ``looks`` for its stack are left."""

    since: float
    cpu: float | None = None
    looks: int = STACK_LOOKS
    stack: str = ""


class StallWatch:
    """Lives in the worker's main process; ``limit`` is in seconds, 0 for never."""

    def __init__(
        self,
        limit: float,
        run_directory: str,
        clock: Callable[[], float] = time.monotonic,
        cpu: Callable[[Collection[int]], Mapping[int, float]] = cpu_seconds,
    ) -> None:
        self._limit = limit
        self._run_directory = run_directory
        self._clock = clock
        self._cpu = cpu
        self._watched: dict[Prediction, _Watched] = {}

    def look(self, running: Iterable[Prediction]) -> list[Stall]:
        """Return the predictions that have not used the processor for longer than the limit."""
        if not self._limit:
            return []
        before, self._watched = self._watched, {}
        now = self._clock()
        for each in running:
            self._watched[each] = before.get(each) or _Watched(now)
        for each, watched in before.items():
            if watched.looks < STACK_LOOKS and each not in self._watched:
                log.warning("Process %d goes on: task %s has ended", each.pid, each.task_id)
        long = {
            each: watched
            for each, watched in self._watched.items()
            if now - watched.since >= FIRST_LOOK_SECONDS
        }
        cpu = self._cpu({each.pid for each in long}) if long else {}
        return [
            stall
            for each, watched in long.items()
            if (stall := self._examine(each, watched, cpu[each.pid], now))
        ]

    def forget(self, pids: Collection[int]) -> None:
        """Remove what processes that have ended wrote."""
        for pid in pids:
            _stack_path(self._run_directory, pid).unlink(missing_ok=True)

    def _examine(self, each: Prediction, watched: _Watched, cpu: float, now: float) -> Stall | None:
        seconds = now - watched.since
        if watched.cpu is None:
            watched.cpu = cpu
            return None
        if abs(cpu - watched.cpu) > IDLE_SHARE * max(seconds, FIRST_LOOK_SECONDS):
            if watched.looks < STACK_LOOKS:
                log.warning("Process %d goes on with task %s", each.pid, each.task_id)
            self._watched[each] = _Watched(now, cpu)
            return None
        if seconds < self._limit:
            return None
        if not watched.stack and watched.looks:
            self._ask_for_stack(each, watched)
        shown = int(seconds // SHOWN_STEP * SHOWN_STEP) or int(seconds)
        return Stall(each.pid, each.task_id, shown, innermost_line(watched.stack))

    def _ask_for_stack(self, each: Prediction, watched: _Watched) -> None:
        """Ask a process for its stacks, and log them when they are there."""
        path = _stack_path(self._run_directory, each.pid)
        if watched.looks == STACK_LOOKS:
            with suppress(OSError):
                os.truncate(path, 0)
                os.kill(each.pid, STACK_SIGNAL)
        else:
            with suppress(OSError):
                watched.stack = path.read_text(encoding="utf-8", errors="replace")
        watched.looks -= 1
        if watched.stack or not watched.looks:
            log.error(
                "Process %d does not use the processor, and task %s does not end:\n%s",
                each.pid, each.task_id, watched.stack or "its stack cannot be had",
            )  # fmt: skip


def _stack_path(run_directory: str, pid: int) -> Path:
    return Path(run_directory) / f"worker-process-stack-{pid}.txt"
