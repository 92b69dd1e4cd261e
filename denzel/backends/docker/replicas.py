"""The containers of a service, which are its replicas."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from denzel.backends.docker.engine import SERVICE_LABEL
from denzel.backends.docker.status import read_container
from denzel.errors import ServiceError
from denzel.services import replica_name


def service_of_container(found: Any) -> str:
    """Return the service that a container is one of; empty for one of no service."""
    return str(found.labels.get(SERVICE_LABEL, ""))


def running_replicas(containers: Iterable[Any], service: str) -> dict[str, Any]:
    """Return the running containers of a service, each by its replica's name, the first first.

    Raises ServiceError when there is none.
    """
    found = {
        read_container(each.attrs).number: each
        for each in containers
        if service_of_container(each) == service and each.status == "running"
    }
    if not found:
        raise ServiceError(
            f"The service {service} is not running; `denzel status` shows the services, "
            "`denzel start` starts them"
        )
    return {replica_name(service, number): found[number] for number in sorted(found)}


def memory_used(stats: Mapping[str, Any]) -> int:
    """Return the bytes a container uses, from the engine's statistics; without cached files."""
    memory = stats.get("memory_stats", {})
    files = memory.get("stats", {}).get("inactive_file", 0)
    return max(0, int(memory.get("usage", 0)) - int(files))
