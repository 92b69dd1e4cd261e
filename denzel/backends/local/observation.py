"""Find the state of local services: what supervisor knows, what they record, whether they work."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from denzel.backends.local.health import examine_services
from denzel.backends.local.layout import Layout
from denzel.backends.local.redis_server import redis_state
from denzel.backends.local.status import Record, read_record, service_status, worker_status
from denzel.backends.local.supervision import Crashes, Process, read_crashes
from denzel.certificates import speaks_tls
from denzel.services import (
    HTTPS,
    REDIS,
    SERVICES,
    ServiceStatus,
    State,
    Status,
    WorkerStatus,
    number_of,
    service_of,
    summed_up,
)
from denzel.templates.project.app.runtime.settings import Settings

Examined = Mapping[str, tuple[State, str]]
"""State and detail of each service that has recorded one, by its name."""


def observe(settings: Settings, layout: Layout, processes: Mapping[str, Process]) -> Status:
    """Return the state of each service and worker at this moment; ``processes`` are replicas'."""
    ports = {
        "api": settings.api_port, "monitor": settings.monitor_port, HTTPS: settings.https_port
    }  # fmt: skip
    crashes = read_crashes(layout.supervisor_log) if processes else {}
    services: dict[str, list[ServiceStatus]] = {name: [] for name in SERVICES}
    workers: list[WorkerStatus] = []
    examined: dict[Path, Examined] = {}
    for replica in sorted({*SERVICES, *processes}, key=number_of):
        service, run, process = service_of(replica), layout.run_of(replica), processes.get(replica)
        if run not in examined:
            examined[run] = examine_services(layout, run) if processes else {}
        record = _record(settings, layout, service, run, examined[run])
        line = service_status(
            replica, process, record, crashes.get(replica, Crashes()), ports.get(service)
        )
        services.setdefault(service, []).append(line)
        if service == "denzel":
            record = _record(settings, layout, "worker", run, examined[run])
            workers += worker_status(settings.worker_name, line, process, record)
    if settings.redis_url:
        services[REDIS] = [_redis_elsewhere(examined.get(layout.run, {}))]
    lines = [summed_up(name, replicas) for name, replicas in services.items()]
    return Status(tuple(lines), tuple(workers))


def _record(
    settings: Settings, layout: Layout, name: str, run: Path, examined: Examined
) -> Record | None:
    """Return how a service is: what it recorded in ``run``, unless it was found not to work.

    For Redis, its answer to a question; for Caddy, whether it has a certificate.
    """
    if name == HTTPS:
        domain = settings.https_domain  # gone if it goes at the next restart
        serves = not domain or speaks_tls(settings.https_port, domain)
        return Record.now(State.UP) if serves else None
    if name == REDIS:
        return Record.now(*redis_state(layout.redis_socket, settings.redis_password))
    record = read_record(run / f"{name}.json")
    if record and record.state is State.UP and name in examined:
        record = replace(record, state=examined[name][0], detail=examined[name][1])
    return record


def _redis_elsewhere(examined: Examined) -> ServiceStatus:
    """Return the line of a Redis of the user's; it is asked while services run."""
    shown, detail = examined.get(REDIS, (State.DOWN, ""))
    return ServiceStatus(REDIS, shown, detail=detail)
