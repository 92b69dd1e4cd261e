"""What ``denzel status`` says about containers: the engine's knowledge and their own."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from denzel.services import (
    BALANCER,
    REDIS,
    SERVICES,
    ServiceStatus,
    State,
    Status,
    WorkerStatus,
    replica_name,
    summed_up,
)

WORKER_SERVICE = "denzel"
WORKER_RECORD = "worker"

Records = Mapping[str, tuple[State, str]]
"""State and detail of each state file of a container, by the file's name without ending."""


@dataclass(frozen=True)
class Container:
    """What is asked of a container: ``status`` and ``health`` are the engine's own words.

    ``number`` is Compose's, from 1 on among those of its service.
    """

    service: str
    status: str
    number: int = 1
    health: str = ""
    exit_code: int = 0
    error: str = ""
    out_of_memory: bool = False
    port: int | None = None
    records: Records = field(default_factory=dict)
    worker_record: Mapping[str, Any] = field(default_factory=dict)

    @property
    def running(self) -> bool:
        """Whether its processes run at this moment."""
        return self.status == "running"


def read_container(attributes: Mapping[str, Any]) -> Container:
    """Return a container from what the engine's inspection says of it."""
    labels, state = attributes["Config"]["Labels"], attributes["State"]
    return Container(
        service=labels["com.docker.compose.service"],
        status=state["Status"],
        number=int(labels.get("com.docker.compose.container-number", 1)),
        health=(state.get("Health") or {}).get("Status", ""),
        exit_code=state.get("ExitCode", 0),
        error=state.get("Error", ""),
        out_of_memory=state.get("OOMKilled", False),
        port=_published_port(attributes["HostConfig"].get("PortBindings") or {}),
    )


def read_records(listing: str) -> dict[str, tuple[State, str]]:
    """Return the state files in what ``commands.STATES`` prints, each a path and JSON.

    They come from where a model's code runs: nothing in them may steer the terminal.
    """
    return {
        name: (State(record["state"]), "".join(filter(str.isprintable, str(record["detail"]))))
        for name, record in _state_files(listing)
    }


def read_worker_record(listing: str) -> Mapping[str, Any]:
    """Return all that the worker's state file holds, from the same output."""
    return dict(_state_files(listing)).get(WORKER_RECORD, {})


def _state_files(listing: str) -> Iterator[tuple[str, dict[str, Any]]]:
    for line in listing.splitlines():
        path, _, text = line.partition(":")
        name = path.rpartition("/")[2]
        if name.startswith(".") or not name.endswith(".json"):
            continue
        try:
            record = json.loads(text)
            State(record["state"]), str(record["detail"])
        except (ValueError, KeyError, TypeError):
            continue
        yield name.removesuffix(".json"), record


def project_status(
    containers: Iterable[Container], worker_name: str, ports: Mapping[str, int | None]
) -> Status:
    """Return the status of a deployment; ``ports`` are those of services without a container."""
    by_service: dict[str, list[Container]] = {name: [] for name in SERVICES}
    elsewhere = None
    for container in containers:
        by_service.setdefault(container.service, []).append(container)
        elsewhere = container.records.get(REDIS) or elsewhere
    if len(by_service["api"]) > 1:  # none of which has the API's port
        by_service.setdefault(BALANCER, [])
    services = tuple(
        ServiceStatus(REDIS, elsewhere[0], detail=elsewhere[1])
        if name == REDIS and elsewhere and not replicas
        else _service_status(name, replicas, ports.get(name))
        for name, replicas in by_service.items()
    )
    workers = [
        worker
        for container in sorted(by_service[WORKER_SERVICE], key=lambda each: each.number)
        if (worker := _worker_status(worker_name, container))
    ]
    return Status(services, tuple(workers))


def _service_status(name: str, replicas: Sequence[Container], port: int | None) -> ServiceStatus:
    """Return a service's line: that of its container which is furthest from being up."""
    if not replicas:
        return ServiceStatus(name, State.DOWN, port)
    line = summed_up(name, [_replica_status(each) for each in replicas])
    # Of several, each has a port that nobody needs to know.
    return replace(line, port=port) if len(replicas) > 1 else line


def _replica_status(container: Container) -> ServiceStatus:
    state, detail = _container_state(container)
    name = replica_name(container.service, container.number)
    return ServiceStatus(name, state, container.port, detail)


def _container_state(container: Container) -> tuple[State, str]:
    where = f"see `denzel logs --service {container.service}`"
    if container.status == "restarting":
        memory = " (it used more memory than it may)" if container.out_of_memory else ""
        ending = f"with exit code {container.exit_code}{memory}"
        return State.ERROR, f"ends again and again, {ending}; {where}"
    if container.status == "created":
        return (State.ERROR, container.error) if container.error else (State.STARTING, "")
    if not container.running:
        return (State.ERROR, container.error) if container.error else (State.DOWN, "")
    if container.service not in SERVICES or container.service == REDIS:
        return _healthy_state(container, where)
    state, detail = container.records.get(container.service, (State.STARTING, ""))
    # The worker's health is the Worker line's own matter.
    if state is State.UP and container.service != WORKER_SERVICE:
        return _unless_unhealthy(container, where)
    return state, detail


def _healthy_state(container: Container, where: str) -> tuple[State, str]:
    if container.health == "starting":
        return State.STARTING, ""
    return _unless_unhealthy(container, where)


def _unless_unhealthy(container: Container, where: str) -> tuple[State, str]:
    if container.health == "unhealthy":
        return State.ERROR, f"does not answer its health check; {where}"
    return State.UP, ""


def _worker_status(name: str, container: Container) -> WorkerStatus | None:
    """Return a worker's line; there is none while its service is not up."""
    if _container_state(container)[0] is not State.UP:
        return None
    state, detail = container.records.get(WORKER_RECORD, (State.LOADING, ""))
    own = "".join(filter(str.isprintable, str(container.worker_record.get("name") or name)))
    return WorkerStatus.of(own, state, detail, container.worker_record)


def _published_port(bindings: Mapping[str, Any]) -> int | None:
    for published in bindings.values():
        for binding in published or ():
            if binding.get("HostPort"):
                return int(binding["HostPort"])
    return None
