"""What ``denzel status`` says about local processes: supervisor's knowledge and their own."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from denzel.backends.local.supervision import UNSUPERVISED, Crashes, Process
from denzel.services import ServiceStatus, State, WorkerStatus

LOOP_CRASHES = 2
"""From this many failed starts in a row on a service is in ERROR; one can be bad luck."""


@dataclass(frozen=True)
class Record:
    """What a service wrote about itself, and when (seconds since 1970)."""

    state: State
    detail: str
    written: float
    facts: Mapping[str, Any] = field(default_factory=dict, compare=False)

    @classmethod
    def now(cls, state: State, detail: str = "") -> Record:
        """Return what holds at this moment."""
        return cls(state, detail, time.time())


def read_record(file: Path) -> Record | None:
    """Return what stands in a state file; None when there is nothing to be read."""
    try:
        data = json.loads(file.read_text(encoding="utf-8"))
        state, detail = State(data["state"]), str(data.get("detail", ""))
        return Record(state, detail, file.stat().st_mtime, data)
    except (OSError, ValueError, KeyError, TypeError):
        return None


def service_status(
    name: str,
    process: Process | None,
    record: Record | None,
    crashes: Crashes,
    port: int | None = None,
) -> ServiceStatus:
    """Return the line of one service.

    A record older than the process was written by its predecessor and says nothing.
    """
    where = f"see logs/{name}.log or `denzel logs --service {name}`"
    if process is None or process.state in ("STOPPED", "STOPPING"):
        return ServiceStatus(name, State.DOWN, port)
    if process.state == UNSUPERVISED:
        return ServiceStatus(
            name, State.ERROR, port,
            "runs, but its supervisor was ended and will not start it again: `denzel restart`",
        )  # fmt: skip
    if process.state == "FATAL":
        return ServiceStatus(
            name, State.ERROR, port, f"given up after many crashes; {where}, then `denzel restart`"
        )
    if process.problem and not crashes.count and process.state == "BACKOFF":
        return ServiceStatus(name, State.ERROR, port, f"{process.problem}; {where}")
    fresh = record if record and record.written >= process.started else None
    tells = fresh is not None and fresh.state is not State.STARTING
    if fresh and tells and (process.alive or fresh.state is State.ERROR):
        return ServiceStatus(name, fresh.state, port, fresh.detail)
    if crashes.count >= LOOP_CRASHES:
        detail = f"crashed {crashes.count} times, at last with {crashes.last}; {where}"
        return ServiceStatus(name, State.ERROR, port, detail)
    return ServiceStatus(name, State.STARTING, port)


def worker_status(
    name: str, service: ServiceStatus, process: Process | None, record: Record | None
) -> tuple[WorkerStatus, ...]:
    """Return the line of the worker; there is none while its service is not up."""
    if service.state is not State.UP or process is None:
        return ()
    if record is None or record.written < process.started:
        return (WorkerStatus(name, State.LOADING),)
    own = str(record.facts.get("name") or name)
    return (WorkerStatus.of(own, record.state, record.detail, record.facts),)
