"""Look after the pool's processes: the dead, what they leave behind, the stalled, their states."""

from __future__ import annotations

import logging
from typing import Any

from app.runtime import state
from app.runtime.pipeline.plan import Plan
from app.runtime.settings import Settings
from app.runtime.worker.announcer import ModelAnnouncer
from app.runtime.worker.gpu_watch import GpuWatch
from app.runtime.worker.orphans import Orphans
from app.runtime.worker.process_tree import end_process
from app.runtime.worker.report import Report, Stall, read_processes
from app.runtime.worker.stall import StallWatch, running_predictions

LOOK_SECONDS = 0.5

log = logging.getLogger("denzel.pool")


class PoolWatch:
    """Lives in the main process of the worker called ``name``, and looks every half second."""

    def __init__(self, settings: Settings, plan: Plan, name: str, gpus: GpuWatch) -> None:
        self._gpus = gpus
        self._run_directory = settings.denzel_run_dir
        self._announcer = ModelAnnouncer(settings, name)
        self._report = Report(settings.denzel_run_dir, plan, name, self._announcer.tell)
        self._stalls = StallWatch(settings.stall_seconds, settings.denzel_run_dir)
        self._orphans: Orphans | None = None
        self._pids: set[int] = set()
        self._is_ending = False

    def begin(self, sender: Any, **_: object) -> None:
        """Look from now on; ``sender`` is Celery's consumer, which is ready."""
        if self._orphans is None:  # else it is connected again
            self._orphans = Orphans(self._living(sender))
            self._gpus.begin()
        self._look(sender)
        sender.hub.call_repeatedly(LOOK_SECONDS, self._look, sender)

    def on_shutting_down(self, **_: object) -> None:
        """From now on, wait for no process that would not end by itself."""
        self._is_ending = True
        self._announcer.withdraw()

    def end(self) -> None:
        """End what the pool's processes have left behind; they have ended."""
        if self._orphans:
            self._orphans.end_all()

    def _look(self, sender: Any) -> None:
        # Celery looks for dead processes every 5 s, and when a process's pipe closes; but the
        # kernel closes that a moment before the process can be reaped, so about every second
        # death would wait for the next look.
        sender.pool.maintain_pool()
        pids = self._living(sender)
        self._stalls.forget(self._pids - pids)
        self._pids = pids
        if self._orphans:
            self._orphans.look(pids)
        stalls = self._stalls.look(running_predictions())
        if self._is_ending:
            self._end_hopeless(stalls)
        else:
            places = {process.index: process.pid for process in sender.pool._pool._pool}
            gpus = self._gpus.look(places)
            self._report.update(pids, sender.pool.num_processes, stalls, gpus)

    def _end_hopeless(self, stalls: list[Stall]) -> None:
        """End the processes that are stalled, or have not loaded their model.

        What was asked of a stalled one is taken care of as after any death.
        """
        hopeless = {each.pid for each in stalls}
        records = read_processes(self._run_directory)
        hopeless |= {each.pid for each in records if each.state != state.UP}
        for pid in hopeless & self._pids:
            log.warning("Ending process %d, which the worker would wait for in vain", pid)
            end_process(pid)

    @staticmethod
    def _living(sender: Any) -> set[int]:
        return {process.pid for process in sender.pool._pool._pool}
