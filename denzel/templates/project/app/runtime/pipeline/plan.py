"""How the worker runs the model: how many processes, with how many threads each.

A model that one process has loaded is shared by the processes forked from it, unless its loading
started threads (``threads.py``); then each process loads a copy of its own.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from app.runtime.settings import Settings

FORK, NONE = "fork", "none"
"""The values of MODEL_SHARING besides auto."""


@dataclass(frozen=True)
class Plan:
    """How many processes predict, and with how many threads each.

    ``shared`` is whether they share one model; ``reason`` is why not, or why that is a risk.
    """

    processes: int
    threads: int
    shared: bool
    reason: str = ""

    @property
    def summary(self) -> str:
        """Say in one line how the model is held."""
        processes = f"{self.processes} {'process' if self.processes == 1 else 'processes'}"
        threads = f"{self.threads} {'thread' if self.threads == 1 else 'threads'}"
        if self.processes == 1:
            how = f"{processes} with {threads} holds the model"
        elif self.shared:
            how = f"{processes} with {threads} each share one model"
        else:
            how = f"{processes} with {threads} each have a copy of the model"
        return f"{how}: {self.reason}" if self.reason else how


def plan_processes(settings: Settings, processors: int, gpus: int = 0) -> Plan:
    """Return the plan to start with; ``gpus`` is how many are visible, with GPU=1."""
    if settings.gpu:
        processes = settings.worker_concurrency or gpus * settings.workers_per_gpu or 1
        return _plan(processes, processors, "each GPU's process has its own copy")
    if settings.model_sharing == NONE:
        return own_copies(settings, processors, "MODEL_SHARING=none")
    plan = _plan(settings.worker_concurrency or processors, processors)
    return replace(plan, shared=True)


def own_copies(settings: Settings, processors: int, reason: str) -> Plan:
    """Return the plan for a model that cannot be shared.

    By default it is one process with all processors as threads: one copy of the model.
    """
    return _plan(settings.worker_concurrency or 1, processors, reason)


def _plan(processes: int, processors: int, reason: str = "") -> Plan:
    return Plan(processes, max(1, processors // processes), shared=False, reason=reason)
