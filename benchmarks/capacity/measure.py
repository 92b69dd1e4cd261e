"""Measure what a request costs each service of a deployment, and how many it answers."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, fields
from pathlib import Path

from benchmarks.capacity.model import MICROSECONDS, Costs
from benchmarks.meter import Meter
from benchmarks.processes import PROC, cpu_seconds

SERVICES = tuple(field.name for field in fields(Costs))
PROGRAMS = {
    "gunicorn": "api", "redis-server": "redis", "app.runtime.worker": "worker",
    "app.runtime.callbacks": "callbacks", "app.runtime.monitor": "monitor",
}  # fmt: skip


@dataclass(frozen=True)
class Point:
    """What was measured: answers a second, and each service's costs for one."""

    rate: float
    costs: Costs


def measure(meter: Meter, connections: int) -> Point:
    """Measure a running deployment under a closed loop."""
    meter.load(connections, meter.warm_up)
    pids = meter.running.pids
    services = {pid: service_of(pid) for pid in pids}
    before = _by_service(services)
    load = meter.load(connections, meter.seconds)
    if meter.workload.prefer:
        meter.drain()  # what was only accepted is to be paid for, too
    after = _by_service(services)
    each = {name: (after[name] - before[name]) * MICROSECONDS / load.requests for name in SERVICES}
    meter.drain()
    return Point(load.rps, Costs(**each))


def service_of(pid: int) -> str:
    """Return which service a process belongs to, '' for none."""
    name = _program(pid)
    return "process" if name == "worker" and _program(_parent(pid)) == "worker" else name


def _program(pid: int) -> str:
    command = _read(PROC / str(pid) / "cmdline")
    found = [service for program, service in PROGRAMS.items() if program in command]
    return found[0] if found else ""


def _parent(pid: int) -> int:
    fields_after_name = _read(PROC / str(pid) / "stat").rpartition(")")[2].split()
    return int(fields_after_name[1]) if fields_after_name else 0


def _read(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""


def _by_service(services: dict[int, str]) -> dict[str, float]:
    seconds: dict[str, float] = defaultdict(float)
    for pid, service in services.items():
        seconds[service] += cpu_seconds([pid])
    return seconds
